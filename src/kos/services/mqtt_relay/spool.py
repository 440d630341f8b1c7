"""What waits for the server, on storage: bounded, in order, oldest dropped first and counted.

Segments of records, each with a checksum; a torn end, as a power cut leaves it, is cut off. A record has a
number that is never used twice, whatever is torn: `position` says which numbers may have been used, before
they are. It keeps what the server has, too. When it is lost, new records belong to a new spool, and those
that wait keep the name of theirs, so that the server still knows them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import struct
import time
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from kos.abi.durable import sync_directory
from kos.abi.errors import KosError

# A record: checksum of the body, its size; then the body: number, milliseconds since 1970, size of the kind,
# size of the payload, both.
_HEAD = struct.Struct("<II")
_BODY = struct.Struct("<QQHI")
_SEGMENT = re.compile(r"([0-9a-f]{16})-([0-9a-f]{12})\.spool")  # first number, the spool's name
SEGMENTS = 8  # the spool's size in segments: so much of it is dropped at a time
BYTES_MIN = 64 << 10
ACK_EVERY = 64  # acknowledged records before the position is written down
RESERVE = 1024  # numbers that are written down as used at a time
POSITION = "position"
_NAME = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Record:
    """One message that waits."""

    number: int
    kind: str
    payload: bytes
    spool: str
    since: float  # when it began to wait, by the clock that never jumps, as well as is known


class Spool:
    """A queue in a folder.

    Attributes:
        identity: the name of this spool; another one after the position was lost.
        dropped: records lost because there was no room, since the folder was made.
    """

    def __init__(self, folder: Path, size: int) -> None:
        """Open or make it.

        Args:
            folder: on the data partition.
            size: bytes that it may use.

        Raises:
            KosError: `size` is too small for what a spool is.
        """
        if size < BYTES_MIN:
            raise KosError(f"a spool of {size} bytes, at least {BYTES_MIN}")
        self._folder = folder
        self._size = size
        self._segment_size = size // SEGMENTS
        self._waiting: deque[Record] = deque()
        self._segments: deque[tuple[int, Path, int]] = deque()  # first number, file, bytes
        self._file: int | None = None
        self._taken = 0  # how many of the first of `_waiting` are on their way
        self._unwritten = 0  # acknowledgements since the position was written down
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = self._load_position()
        self.identity, self._acked, self.dropped, self._reserved = known or (secrets.token_hex(6), 0, 0, 0)
        self._load()
        last = max([self._acked, *(record.number for record in self._waiting)])
        self._next = max(last + 1, self._reserved, *(first for first, _, _ in self._segments), 1)
        if known is None:
            self._reserve()
        while self._segments and self._bytes() > size:
            self._drop_oldest()

    def __len__(self) -> int:
        return len(self._waiting)

    # --- writing --------------------------------------------------------------------------------------
    def append(self, messages: list[tuple[str, bytes]]) -> None:
        """Add messages, all or none; on return they survive a power cut.

        Raises:
            KosError: the storage takes them not, as when it is full: nobody may be told that they are kept.
        """
        before = self._segments[-1] if self._segments else None
        first = self._next
        try:
            now, wall = time.monotonic(), time.time_ns() // 1_000_000
            for kind, payload in messages:
                if self._next >= self._reserved:
                    self._reserve()
                record = Record(self._next, kind, payload, self.identity, now)
                self._next += 1
                self._write(record, wall)
                self._waiting.append(record)
            if self._file is not None:
                os.fdatasync(self._file)
        except OSError as error:
            self._undo(before, first)
            raise KosError(f"the storage takes nothing: {error.strerror}") from None

    def _undo(self, before: tuple[int, Path, int] | None, first: int) -> None:
        """Take back what a failed `append` wrote from number `first` on."""
        while self._waiting and self._waiting[-1].number >= first:
            self._waiting.pop()
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
        while self._segments and (before is None or self._segments[-1][0] > before[0]):
            self._segments.pop()[1].unlink(missing_ok=True)
        if before is not None and self._segments:
            self._segments[-1] = before
            os.truncate(before[1], before[2])

    def _reserve(self) -> None:
        """Write down that the next numbers may be used."""
        before, self._reserved = self._reserved, self._next + RESERVE
        try:
            self._write_position()
        except OSError:
            self._reserved = before
            raise

    def _bytes(self) -> int:
        return sum(size for _, _, size in self._segments)

    def _write(self, record: Record, wall: int) -> None:
        name = record.kind.encode()
        body = _BODY.pack(record.number, wall, len(name), len(record.payload)) + name + record.payload
        data = _HEAD.pack(zlib.crc32(body), len(body)) + body
        if self._file is None or self._segments[-1][2] + len(data) > self._segment_size:
            self._open_segment(record.number, len(data))
        assert self._file is not None
        if os.write(self._file, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        first, path, size = self._segments[-1]
        self._segments[-1] = (first, path, size + len(data))

    def _open_segment(self, first: int, size: int) -> None:
        """Go on with the last segment, as after a start, or begin one that has room for `size` bytes."""
        self._close()
        if self._segments:
            _, path, used = self._segments[-1]
            if path.name.endswith(f"-{self.identity}.spool") and used + size <= self._segment_size:
                self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
                return
        while self._segments and self._bytes() + self._segment_size > self._size:
            self._drop_oldest()
        path = self._folder / f"{first:016x}-{self.identity}.spool"
        self._segments.append((first, path, 0))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        sync_directory(self._folder)

    def _drop_oldest(self) -> None:
        _first, path, _size = self._segments.popleft()
        end = self._segments[0][0] if self._segments else self._next
        while self._waiting and self._waiting[0].number < end:
            self._pop()
            self.dropped += 1
        path.unlink()
        self._note_position()

    # --- reading --------------------------------------------------------------------------------------
    def take(self) -> Record | None:
        """The next record that was not taken since the last `rewind`; None when there is none."""
        if self._taken >= len(self._waiting):
            return None
        self._taken += 1
        return self._waiting[self._taken - 1]

    def untake(self) -> None:
        """Take the last one again later."""
        self._taken -= 1

    def rewind(self) -> None:
        """Take again what was taken and not acknowledged."""
        self._taken = 0

    def acknowledge(self, number: int) -> None:
        """The server has this record and all before it."""
        if number <= self._acked:
            return
        self._acked = number
        while self._waiting and self._waiting[0].number <= number:
            self._pop()
        self._unwritten += 1
        while len(self._segments) > 1 and self._segments[1][0] <= number + 1:
            self._segments.popleft()[1].unlink()
        if self._unwritten >= ACK_EVERY or not self._waiting:
            self._note_position()

    def _pop(self) -> None:
        self._waiting.popleft()
        self._taken = max(0, self._taken - 1)

    # --- files ----------------------------------------------------------------------------------------
    def _load_position(self) -> tuple[str, int, int, int] | None:
        """The spool's name, what the server has, what was dropped, which numbers are used; None when lost."""
        try:
            identity, *numbers = (self._folder / POSITION).read_text().split()
            acked, dropped, reserved = (int(each) for each in numbers)
        except (FileNotFoundError, ValueError):
            return None
        return (identity, acked, dropped, reserved) if _NAME.fullmatch(identity) else None

    def _note_position(self) -> None:
        """Write the position down where there is room: an older one costs repetitions, which have ids."""
        with contextlib.suppress(OSError):
            self._write_position()

    def _write_position(self) -> None:
        new = self._folder / f"{POSITION}.new"
        with new.open("w") as file:
            file.write(f"{self.identity} {self._acked} {self.dropped} {self._reserved}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._folder / POSITION)
        sync_directory(self._folder)
        self._unwritten = 0

    def _load(self) -> None:
        for path in sorted(self._folder.iterdir()):
            if (named := _SEGMENT.fullmatch(path.name)) is None:
                continue
            data = path.read_bytes()
            good = self._load_segment(data, named[2])
            if good < len(data):
                os.truncate(path, good)
            self._segments.append((int(named[1], 16), path, good))

    def _load_segment(self, data: bytes, spool: str) -> int:
        now, wall = time.monotonic(), time.time_ns() // 1_000_000
        offset = 0
        while offset + _HEAD.size <= len(data):
            check, size = _HEAD.unpack_from(data, offset)
            body = data[offset + _HEAD.size : offset + _HEAD.size + size]
            if len(body) != size or size < _BODY.size or zlib.crc32(body) != check:
                break
            number, at, name_size, payload_size = _BODY.unpack_from(body)
            if _BODY.size + name_size + payload_size != size:
                break
            if number > self._acked:
                kind = body[_BODY.size : _BODY.size + name_size].decode()
                since = now - max(0, wall - at) / 1000
                self._waiting.append(Record(number, kind, body[_BODY.size + name_size :], spool, since))
            offset += _HEAD.size + size
        return offset

    def _close(self) -> None:
        if self._file is not None:
            os.fdatasync(self._file)
            os.close(self._file)
            self._file = None

    def close(self) -> None:
        self._close()
        self._note_position()
