"""Build kos-launch for this machine: `python -m kos.device.launcher` prints where it is.

The device image gets its kos-launch from the image build; this is for the host platform and for tests.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from kos.abi.errors import KosError

SOURCE = Path(__file__).resolve().parents[3] / "native" / "launch" / "kos_launch.c"
_FLAGS = ("-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror", "-static", "-s")


def cache_folder() -> Path:
    """Where what is built once for this user is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kos"


def host_launcher(cache: Path, say: Callable[[str], None] = lambda text: None) -> Path:
    """kos-launch for this machine, built at the first call with its own compiler or else with ziglang.

    `say` hears of it when it is built.
    """
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:32]
    path = cache / "launch" / digest / "kos-launch"
    if path.is_file():
        return path
    say("building kos-launch, the last step into the sandbox, once for this user")
    path.parent.mkdir(parents=True, exist_ok=True)
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", f"{platform.machine()}-linux-musl"]
    compiler = [found] if (found := shutil.which("cc")) else zig
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        output = Path(folder) / path.name
        done = subprocess.run(
            [*compiler, *_FLAGS, "-o", str(output), str(SOURCE)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise KosError(f"kos-launch does not compile: {done.stderr.strip()}", where=str(SOURCE))
        output.rename(path)
    return path


if __name__ == "__main__":
    print(host_launcher(cache_folder()))
