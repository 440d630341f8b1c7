"""How much an app keeps in its /data, counted in small steps: a million files must not cost others' time."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

STEP_ENTRIES = 500  # looked at in one step
UNSEEN_BYTES = 1 << 62  # what counts that lies too deep, or is closed to us: nobody has that much
ENTRY_BYTES = 4096  # what a file or folder counts at least: it costs an inode even when it is empty


def usage(folder: Path) -> Iterator[int]:
    """Bytes counted so far, after each step; the last value is the whole. The app may change it meanwhile."""
    total = seen = 0
    pending = [os.fspath(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    total += _size(entry)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    seen += 1
                    if seen % STEP_ENTRIES == 0:
                        yield total
        except OSError as error:
            total += _unseen(error)
    yield total


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return max(ENTRY_BYTES, entry.stat(follow_symlinks=False).st_blocks * 512)
    except OSError as error:
        return _unseen(error)


def _unseen(error: OSError) -> int:
    """What is gone meanwhile counts nothing; what hides counts more than anybody may have."""
    return 0 if error.errno in (errno.ENOENT, errno.ENOTDIR) else UNSEEN_BYTES
