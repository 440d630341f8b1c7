"""A person at the guest's console: what the guest writes goes to the reader, what the reader types to it.

A thread of its own for each session, so that a reader who does not read holds up nobody but itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kos.app.shell.channel import Sender
from kos.services.vmm.console import Console

HISTORY = 2048  # bytes of earlier output that a new reader sees first
TYPED_MAX = 64 << 10  # bytes that may wait for a guest that does not read
_RETRY_SECONDS = 0.05  # until bytes that found no room are tried again
_LOOK_SECONDS = 1.0  # until a silent guest's reader is looked for


class Terminal:
    """One session; the interface is `kos.app.shell.channel.Session`."""

    def __init__(self, console: Console, type_in: Callable[[bytes], int], sender: Sender) -> None:
        self._console, self._type_in, self._sender = console, type_in, sender
        self._typed = bytearray()
        self._lock = threading.Lock()
        threading.Thread(target=self._show, name="kos-console", daemon=True).start()

    def feed(self, data: bytes) -> None:
        """What was typed; what the guest has no room for waits, up to a limit."""
        with self._lock:
            self._typed += data
            del self._typed[TYPED_MAX:]
        self._pass_on()

    def close(self) -> None:
        """The reader is gone, which the sender knows."""

    def _pass_on(self) -> None:
        with self._lock:
            while self._typed and (taken := self._type_in(bytes(self._typed))):
                del self._typed[:taken]

    def _show(self) -> None:
        position = self._console.recent(HISTORY)
        while self._sender.open:
            position, piece = self._console.read(position)
            if piece:
                self._sender.send(piece)
            else:
                self._console.wait(position, _RETRY_SECONDS if self._typed else _LOOK_SECONDS)
                self._pass_on()
