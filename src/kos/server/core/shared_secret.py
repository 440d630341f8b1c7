"""A secret in a file that all processes of an installation share, whichever of them starts first."""

from __future__ import annotations

import os
from pathlib import Path


def read_or_create(path: Path, fresh: bytes) -> bytes:
    """What the file holds; `fresh`, closed to others, where there was none."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written aside and linked into place: a process that starts at the same moment sees all of it or nothing.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(fresh)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # made before: that one counts
    finally:
        draft.unlink()
    return path.read_bytes()
