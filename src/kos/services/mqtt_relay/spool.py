"""What waits for the server, on storage: bounded, in order, oldest dropped first and counted.

Segments of records, each with a checksum; a torn end, as a power cut leaves it, is cut off. A record has a
number that never repeats for this spool, so that the server stores a repetition once. `acked` keeps what the
server has.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import struct
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from kos.abi.errors import KosError

# A record: checksum of the body, its size; then the body: number, size of the kind, size of the payload,
# both.
_HEAD = struct.Struct("<II")
_BODY = struct.Struct("<QHI")
_SEGMENT = re.compile(r"([0-9a-f]{16})\.spool")
SEGMENTS = 8  # the spool's size in segments: so much of it is dropped at a time
BYTES_MIN = 64 << 10
ACK_EVERY = 64  # acknowledged records before the position is written down


@dataclass(frozen=True)
class Record:
    """One message that waits."""

    number: int
    kind: str
    payload: bytes


class Spool:
    """A queue in a folder.

    Attributes:
        identity: of this spool; it differs after the folder was lost.
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
        self._segment_size = size // SEGMENTS
        self._waiting: deque[Record] = deque()
        self._segments: deque[tuple[int, Path, int]] = deque()  # first number, file, bytes
        self._file: int | None = None
        self._taken = 0  # how many of the first of `_waiting` are on their way
        self._unwritten = 0  # acknowledgements since the position was written down
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.identity, self._acked, self.dropped = self._load_position()
        self._next = self._acked + 1
        self._load()

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
            for kind, payload in messages:
                record = Record(self._next, kind, payload)
                self._next += 1
                self._write(record)
                self._waiting.append(record)
            if self._file is not None:
                os.fdatasync(self._file)
        except OSError as error:
            self._undo(before, first)
            raise KosError(f"the storage takes nothing: {error.strerror}") from None

    def _undo(self, before: tuple[int, Path, int] | None, first: int) -> None:
        """Take back what a failed `append` wrote from number `first` on; the next one begins a segment."""
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

    def _write(self, record: Record) -> None:
        name = record.kind.encode()
        body = _BODY.pack(record.number, len(name), len(record.payload)) + name + record.payload
        data = _HEAD.pack(zlib.crc32(body), len(body)) + body
        if self._file is None or self._segments[-1][2] + len(data) > self._segment_size:
            self._new_segment(record.number)
        assert self._file is not None
        if os.write(self._file, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        first, path, size = self._segments[-1]
        self._segments[-1] = (first, path, size + len(data))

    def _new_segment(self, first: int) -> None:
        self._close()
        while len(self._segments) >= SEGMENTS:
            self._drop_oldest()
        path = self._folder / f"{first:016x}.spool"
        self._segments.append((first, path, 0))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._sync_folder()

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
    def _load_position(self) -> tuple[str, int, int]:
        path = self._folder / "acked"
        try:
            identity, acked, dropped = path.read_text().split()
            return identity, int(acked), int(dropped)
        except (FileNotFoundError, ValueError):
            # Lost or never there: numbers begin anew under another identity.
            for old in self._folder.glob("*.spool"):
                old.unlink()
            self.identity, self._acked, self.dropped = secrets.token_hex(6), 0, 0
            self._write_position()
            return self.identity, 0, 0

    def _note_position(self) -> None:
        """Write the position down where there is room: an older one costs repetitions, which have ids."""
        with contextlib.suppress(OSError):
            self._write_position()

    def _write_position(self) -> None:
        new = self._folder / "acked.new"
        with new.open("w") as file:
            file.write(f"{self.identity} {self._acked} {self.dropped}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._folder / "acked")
        self._sync_folder()
        self._unwritten = 0

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(descriptor)
        os.close(descriptor)

    def _load(self) -> None:
        names = sorted(path for path in self._folder.iterdir() if _SEGMENT.fullmatch(path.name))
        for path in names:
            data = path.read_bytes()
            good = self._load_segment(data)
            if good < len(data):
                os.truncate(path, good)
            self._segments.append((int(path.name[:16], 16), path, good))
        # What is torn may have had numbers that the server knows: leave them out.
        last = max([self._acked, *(record.number for record in self._waiting)])
        self._next = max(last, *(first for first, _, _ in self._segments), 0) + ACK_EVERY + 1
        while self._segments and len(self._segments) >= SEGMENTS:
            self._drop_oldest()

    def _load_segment(self, data: bytes) -> int:
        offset = 0
        while offset + _HEAD.size <= len(data):
            check, size = _HEAD.unpack_from(data, offset)
            body = data[offset + _HEAD.size : offset + _HEAD.size + size]
            if len(body) != size or size < _BODY.size or zlib.crc32(body) != check:
                break
            number, name_size, payload_size = _BODY.unpack_from(body)
            if _BODY.size + name_size + payload_size != size:
                break
            if number > self._acked:
                kind = body[_BODY.size : _BODY.size + name_size].decode()
                self._waiting.append(Record(number, kind, body[_BODY.size + name_size :]))
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
