"""The guest's console: the newest of its output for those who ask, all of it for the structured console.

Pure but for its lock: the machine feeds it, the server of the console's port reads it from another thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import VM_CONSOLE_READ, VM_CONSOLE_WRITE, VM_STATUS
from kos.abi.status import Status
from kos.services.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer, Handler

KEEP = 64 << 10  # bytes of output that can be read back
_PARAM_MASK = 0xFFFF_FFFF  # positions travel in a param, which has 32 bits on small machines


TypeIn = Callable[[bytes], int]


class Console:
    """What the guest wrote; `ready` is what must appear before it counts as ready."""

    def __init__(self, ready: bytes = b"") -> None:
        self._lock = threading.Condition()
        self._kept = bytearray()
        self._total = 0  # bytes ever written
        self._wanted = ready
        self._tail = b""
        self.ready = not ready

    def feed(self, data: bytes) -> None:
        """Take output of the guest."""
        if not self.ready:
            seen = self._tail + data
            self.ready = self._wanted in seen
            self._tail = seen[-len(self._wanted) :]
        with self._lock:
            self._total += len(data)
            self._kept += data
            del self._kept[: max(0, len(self._kept) - KEEP)]
            self._lock.notify_all()

    def recent(self, count: int) -> int:
        """The position `count` bytes before the end, or that of the oldest kept."""
        with self._lock:
            return (self._total - min(count, len(self._kept))) & _PARAM_MASK

    def wait(self, position: int, seconds: float) -> None:
        """Until there is output after a position, or the time is over."""
        with self._lock:
            self._lock.wait_for(lambda: self._total & _PARAM_MASK != position, seconds)

    def read(self, position: int) -> tuple[int, bytes]:
        """Output from `position` on, or the oldest kept: the position to ask for next, and a piece."""
        with self._lock:
            first = self._total - len(self._kept)
            behind = (self._total - position) & _PARAM_MASK
            start = self._total - behind if behind <= len(self._kept) else first
            piece = bytes(self._kept[start - first : start - first + PAYLOAD_MAX_SIZE])
            return (start + len(piece)) & _PARAM_MASK, piece


class Port:
    """The logic of the console's port."""

    def __init__(
        self,
        console: Console,
        type_in: TypeIn,
        status: Callable[[], bytes],
        more: Mapping[int, Handler] | None = None,
    ) -> None:
        """`type_in` gives bytes to the guest and says how many it took; `status` is JSON; `more` are other
        labels.
        """
        self._console, self._type_in, self._status = console, type_in, status
        self._more = more or {}

    def answer(self, app: str, label: int, param: int, payload: bytes) -> Answer:
        """Answer one message."""
        if label == VM_CONSOLE_READ:
            return BAD_REQUEST if payload else Answer(Status.OK, *self._console.read(param))
        if label == VM_CONSOLE_WRITE:
            if not payload:
                return BAD_REQUEST
            taken = self._type_in(payload)
            return Answer(Status.OK, taken) if taken else Answer(Status.FULL)
        if label == VM_STATUS:
            return Answer(Status.OK, 0, self._status()[:PAYLOAD_MAX_SIZE])
        if label in self._more:
            return self._more[label](app, label, param, payload)
        return NOT_IMPLEMENTED
