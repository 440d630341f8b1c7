"""How much an app keeps in its /data, counted in small steps: a million files must not cost others' time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

STEP_ENTRIES = 500  # looked at in one step
ENTRY_BYTES = 4096  # what a file or folder counts at least: it costs an inode even when it is empty


def usage(folder: Path) -> Iterator[int]:
    """Bytes counted so far, after each step; the last value is the whole. The app may change it meanwhile."""
    total = seen = 0
    pending = [os.fspath(folder)]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += max(ENTRY_BYTES, entry.stat(follow_symlinks=False).st_blocks * 512)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                seen += 1
                if seen % STEP_ENTRIES == 0:
                    yield total
    yield total
