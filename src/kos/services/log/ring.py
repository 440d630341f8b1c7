"""The newest lines of the log, in memory and, where the app has storage, on disk across restarts.

On disk: two files, `log.1` (older) and `log.0`, each at most half the limit. A record is appended with one
write as u32 size, u32 CRC-32, bytes, so a crash or a power cut can tear only the last one, and reading stops
there. A disk that is full or broken costs the lines on it, never the log server: memory goes on.
"""

from __future__ import annotations

import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from struct import Struct

from kos.abi.errors import KosError
from kos.abi.services import LOG_LEVEL_ERROR
from kos.services.log.record import RECORD_MAX, Record, decode

_FRAME = Struct("<II")
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
RETRY = 60.0  # seconds until a storage that failed is tried again
LOADED_MAX = 64 << 20  # bytes of one file that are read at start, whoever wrote it


class Ring:
    """A bounded log of records.

    Args:
        limit: bytes kept, in memory and on storage alike; at least two records.
        folder: where the files are; None without storage.
        warn: told once for each time that storage begins to fail.
    """

    def __init__(self, limit: int, folder: str | None, warn: Callable[[str], None]) -> None:
        self._half = max(limit // 2, RECORD_MAX + _FRAME.size)
        self._limit = self._half * 2
        self._folder = folder
        self._warn = warn
        self._records: deque[tuple[Record, int]] = deque()
        self._size = 0
        self._file = -1
        self._file_size = 0
        self._retry_at = 0.0
        self.next_sequence = 1
        if folder is not None:
            self._load(folder)

    def append(self, record: Record) -> None:
        """Keep `record`; the oldest ones make room."""
        data = record.encode()
        self._remember(record, len(data))
        if self._folder is None or time.monotonic() < self._retry_at:
            return
        try:
            self._store(self._folder, _FRAME.pack(len(data), zlib.crc32(data)) + data)
            if record.level >= LOG_LEVEL_ERROR:
                # What came before a failure is what one wants to read after it.
                os.fdatasync(self._file)
        except OSError as problem:
            self._close()
            self._retry_at = time.monotonic() + RETRY
            self._warn(f"cannot keep the log on storage, it is in memory only: {problem}")

    def since(self, sequence: int) -> Iterator[Record]:
        """The kept records from `sequence` on, oldest first."""
        return (record for record, _size in self._records if record.sequence >= sequence)

    def _remember(self, record: Record, size: int) -> None:
        self._records.append((record, size))
        self._size += size
        while self._size > self._limit:
            self._size -= self._records.popleft()[1]
        self.next_sequence = record.sequence + 1

    def _store(self, folder: str, frame: bytes) -> None:
        newest = f"{folder}/log.0"
        self._open(newest)
        if self._file_size + len(frame) > self._half:
            os.fdatasync(self._file)
            self._close()
            os.replace(newest, f"{folder}/log.1")
            self._open(newest)
        written = os.write(self._file, frame)
        if written != len(frame):
            os.ftruncate(self._file, self._file_size)  # the disk is full: leave no torn record behind
            raise OSError(f"{written} of {len(frame)} bytes written")
        self._file_size += written

    def _open(self, path: str) -> None:
        if self._file < 0:
            self._file = os.open(path, _APPEND, 0o600)
            self._file_size = os.fstat(self._file).st_size

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _load(self, folder: str) -> None:
        for name in ("log.1", "log.0"):
            try:
                self._load_file(f"{folder}/{name}")
            except FileNotFoundError:
                continue
            except OSError as problem:
                self._warn(f"cannot read the kept log: {problem}")

    def _load_file(self, path: str) -> None:
        with open(path, "rb") as file:
            # Python takes all the memory that it is asked to read at once, and an app has little.
            data = file.read(min(os.fstat(file.fileno()).st_size, LOADED_MAX))
        good = 0
        for record, end in _frames(data):
            if record.sequence >= self.next_sequence:
                self._remember(record, end - good - _FRAME.size)
            good = end
        if good < len(data):
            self._warn(f"{path} ends in a torn record: {len(data) - good} bytes dropped")
            os.truncate(path, good)


def _frames(data: bytes) -> Iterator[tuple[Record, int]]:
    """Each whole record of a file with the offset behind it, up to the first that is torn."""
    at = 0
    while len(data) - at >= _FRAME.size:
        size, crc = _FRAME.unpack_from(data, at)
        body = data[at + _FRAME.size : at + _FRAME.size + size]
        if len(body) != size or zlib.crc32(body) != crc:
            return
        try:
            record, used = decode(body)
        except KosError:
            return
        if used != size:
            return
        at += _FRAME.size + size
        yield record, at
