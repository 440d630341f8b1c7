"""The log of writes that QEMU's `blklogwrites` keeps, and the disk that a power cut at any entry leaves.

The format is that of Linux's dm-log-writes (admin-guide/device-mapper/log-writes.rst). The model is
pessimistic: of what no flush covered, each request is lost, whole or torn by itself, and of a torn one any
sectors may be there.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MAGIC = 0x6A736677736872
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SECTOR = 512  # bytes: what storage writes whole or not at all


@dataclass(frozen=True)
class Entry:
    """One request: bytes from `offset` of the disk; `data_at` is where they are in the log."""

    offset: int
    size: int
    flags: int
    data_at: int

    def part(self, start: int, size: int) -> Entry:
        """Some of its bytes."""
        return Entry(self.offset + start, size, self.flags, self.data_at + start)


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

    def flushes(self, first: int, end: int) -> list[int]:
        """The flushes among the requests from `first` up to `end`."""
        return [number for number in range(first, end) if self.entries[number].flags & FLUSH]

    def touching(self, first: int, end: int, offset: int, size: int) -> list[int]:
        """The requests that write some of the `size` bytes of the disk from `offset`."""
        return [
            number
            for number in range(first, end)
            if self.entries[number].size
            and self.entries[number].offset < offset + size
            and offset < self.entries[number].offset + self.entries[number].size
        ]


class Replay:
    """A disk that goes through the log once; at each point it can be looked at as a power cut leaves it."""

    def __init__(self, log: BlockLog, image: Path) -> None:
        self.log = log
        self.image = image
        self._durable = 0  # requests that are on the image for good

    @contextmanager
    def cut(self, after: int, chance: random.Random) -> Iterator[Path]:
        """The disk when the power goes after `after` requests; points must not go back."""
        done = self.log.entries[:after]
        last = max((number for number, entry in enumerate(done) if entry.flags & FLUSH), default=0)
        assert last >= self._durable, "a point lies before an earlier one"
        self._apply(done[self._durable : last])
        self._durable = last
        undo = self._apply([piece for entry in done[last:] for piece in _left_of(entry, chance)])
        try:
            yield self.image
        finally:
            with self.image.open("r+b") as disk:
                for offset, data in reversed(undo):
                    disk.seek(offset)
                    disk.write(data)

    def _apply(self, entries: list[Entry]) -> list[tuple[int, bytes]]:
        """Write; what was there before."""
        before = []
        with self.log.path.open("rb") as log, self.image.open("r+b") as disk:
            for entry in entries:
                if not entry.size:
                    continue
                disk.seek(entry.offset)
                before.append((entry.offset, disk.read(entry.size)))
                log.seek(entry.data_at)
                data = bytes(entry.size) if entry.flags & DISCARD else log.read(entry.size)
                disk.seek(entry.offset)
                disk.write(data)
        return before


def _left_of(entry: Entry, chance: random.Random) -> list[Entry]:
    """What is on the disk of a request that no flush covered."""
    if not entry.size or entry.flags & MARK:
        return []
    fate = 1 if entry.flags & FUA else chance.randrange(3)
    if fate < 2:
        return [entry] * fate
    return [entry.part(at, SECTOR) for at in range(0, entry.size, SECTOR) if chance.random() < 0.5]
