"""The log of writes that QEMU's `blklogwrites` keeps, and the disk that a power cut at any entry leaves.

The format is that of Linux's dm-log-writes (admin-guide/device-mapper/log-writes.rst).
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path

_MAGIC = 0x6A736677736872
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


@dataclass(frozen=True)
class Entry:
    """One request: bytes from `offset` of the disk; `data_at` is where they are in the log."""

    offset: int
    size: int
    flags: int
    data_at: int


class BlockLog:
    """A log; `sector` is its unit in bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        with path.open("rb") as file:
            magic, version, _count, self.sector = _SUPER.unpack(file.read(_SUPER.size))
            assert magic == _MAGIC and version == 1
            size = path.stat().st_size
            at = self.sector
            while at + self.sector <= size:
                file.seek(at)
                sector, count, flags, length = _ENTRY.unpack(file.read(_ENTRY.size))
                at += self.sector
                if not flags and not count:
                    break
                has_data = count and not flags & (DISCARD | MARK)
                self.entries.append(Entry(sector * self.sector, count * self.sector, flags, at))
                at += count * self.sector if has_data else length if flags & MARK else 0

    def cut(self, after: int, chance: random.Random) -> list[Entry]:
        """The writes that are on the disk when the power goes after `after` requests: all that a later flush
        covered, and any of the others.
        """
        done = self.entries[:after]
        last = max((number for number, entry in enumerate(done) if entry.flags & FLUSH), default=-1)
        return [
            entry
            for number, entry in enumerate(done)
            if entry.size and (number < last or entry.flags & FUA or chance.random() < 0.5)
        ]

    def write_out(self, entries: list[Entry], image: Path, first: int, size: int) -> None:
        """Apply what touches the `size` bytes from `first` of the disk to `image`, which holds just those."""
        with self.path.open("rb") as log, image.open("r+b") as disk:
            for entry in entries:
                if entry.offset < first or entry.offset + entry.size > first + size:
                    continue
                disk.seek(entry.offset - first)
                if entry.flags & DISCARD:
                    disk.write(bytes(entry.size))
                else:
                    log.seek(entry.data_at)
                    disk.write(log.read(entry.size))
