"""Notice that a file was written or replaced (inotify(7)), without asking again and again."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

from kos.abi.errors import KosError

_IN_CLOSE_WRITE, _IN_MOVED_TO = 0x8, 0x80
_IN_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, size of the name
_BUFFER = 1 << 16


class FileWatch:
    """Watches one file from the moment in which this is made. `descriptor` is readable when `changed` may be
    true.

    It watches the folder, because a file that is replaced is another file.
    """

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._name = os.fsencode(path.name)
        self.descriptor: int = libc.inotify_init1(_IN_FLAGS)
        folder = os.fsencode(path.parent)
        if (
            self.descriptor < 0
            or libc.inotify_add_watch(self.descriptor, folder, _IN_CLOSE_WRITE | _IN_MOVED_TO) < 0
        ):
            raise KosError(f"cannot watch: {os.strerror(ctypes.get_errno())}", where=str(path.parent))

    def changed(self) -> bool:
        """Whether the file was written or replaced since this was last asked."""
        found = False
        while True:
            try:
                data = os.read(self.descriptor, _BUFFER)
            except BlockingIOError:
                return found
            offset = 0
            while offset < len(data):
                *_, size = _EVENT.unpack_from(data, offset)
                name = data[offset + _EVENT.size : offset + _EVENT.size + size].rstrip(b"\0")
                found = found or name == self._name
                offset += _EVENT.size + size

    def close(self) -> None:
        os.close(self.descriptor)
