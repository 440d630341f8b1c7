"""gdbserver in the root file system of a device whose manifest allows a debugger; no other device has it.

In a folder of its own with the libraries that only it needs, which no app sees but those that a debugger may
attach to.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from kos.abi.errors import KosError

FOLDER = "usr/lib/kos/gdb"
PROGRAM = "usr/bin/gdbserver"
LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1", "libm.so.6")  # beside libc, which every app has


def add(tree: Path, package: Path) -> None:
    """Add gdbserver from the unpacked packages to a tree."""
    home = tree / FOLDER
    (home / "lib").mkdir(parents=True)
    shutil.copy(package / PROGRAM, home / "gdbserver")
    for name in LIBRARIES:
        found = next(iter(sorted(package.glob(f"usr/lib/*-linux-gnu*/{name}"))), None)
        if found is not None:
            shutil.copy(found, home / "lib" / name)
        elif not list(tree.glob(f"usr/lib/*-linux-gnu*/{name}")):
            raise KosError(f"gdbserver needs {name}, which no package brought")
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.name == "gdbserver" else 0o644)
