"""What the guest writes, on its way to the structured console: a line each, and never waited for.

The console takes an app's lines at a bounded rate. A guest that floods must not hold up whoever serves and
stops it, so what does not fit is left out, the oldest first, and counted.
"""

from __future__ import annotations

import os
import select

WAITING_MAX = 64 << 10  # bytes that wait for the console
_PIECE = 4096  # PIPE_BUF: a pipe that is writable takes so much at once (pipe(7))


class Output:
    """Lines to a descriptor, which must be a pipe or take everything at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting = bytearray()
        self._line_open = False  # the guest's last line has no end yet
        self._lost = 0

    def __bool__(self) -> bool:
        """Whether something waits for room."""
        return bool(self._waiting)

    def write(self, data: bytes) -> None:
        """Output of the guest."""
        text = data.replace(b"\r", b"")
        if not text:
            return
        self._line_open = not text.endswith(b"\n")
        self._waiting += text
        self.flush()
        if (too_many := len(self._waiting) - WAITING_MAX) > 0:
            del self._waiting[:too_many]
            self._lost += too_many

    def say(self, text: str) -> None:
        """A line of our own among the guest's."""
        self._waiting += f"{chr(10) if self._line_open else ''}vmm: {text}\n".encode()
        self._line_open = False
        self.flush()

    def flush(self, *, wait: bool = False) -> None:
        """Write what there is room for; with `wait`, all of it."""
        while self._waiting and (wait or self._has_room()):
            if self._lost:
                note = f"\nvmm: {self._lost} bytes of the guest's output are left out\n"
                self._lost = 0
                self._waiting[:0] = note.encode()
            del self._waiting[: os.write(self._descriptor, self._waiting[:_PIECE])]

    def _has_room(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(0))
