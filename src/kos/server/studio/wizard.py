"""New systems from Studio: the same templates as `kos-tool new.system`, by that very command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kos.server.core.problems import Conflict, Problem

TIMEOUT = 60.0  # seconds


def make_system(name: str, folder: str) -> Path:
    """Make a system project called `name` in `folder`; its directory.

    Raises:
        Problem: the name cannot be one, or something is there already.
    """
    parent = Path(folder).expanduser()
    if not parent.is_absolute() or not parent.is_dir():
        raise Problem(f"not a folder of this machine: {folder[:200]!r}", hint="give its whole path")
    place = parent / name
    if place.exists():
        raise Conflict(f"{place} is there already", hint="choose another name")
    # The command line is the only part that knows the templates; nothing may import it.
    command = [sys.executable, "-m", "kos.tool", "new.system", name, "--directory", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise Problem(done.stderr.partition("error: ")[2].partition("\n")[0] or "the project was not made")
    return place
