"""The app's end of its debugging channel: one session at a time, whoever opened it.

The thread that listens is there from the start, because the app's own may wait in `serve` for ever. It
holds no authority that the app does not have: what it serves runs in this process, under the same sandbox.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from kos.abi.debug import BYTES, CLOSE, HEAD, OPEN, PACKET_MAX, PIECE_MAX

_MOMENT = 200  # milliseconds


class Session(Protocol):
    """What a channel serves."""

    def feed(self, data: bytes) -> None:
        """Bytes from the reader. Must not wait."""

    def close(self) -> None:
        """The reader is gone."""


class Sender:
    """The way back to the reader of one session."""

    def __init__(self, connection: socket.socket, number: bytes) -> None:
        self._connection = connection
        self._number = number
        self.open = True

    def send(self, data: bytes) -> None:
        """Send bytes; waits while the reader does not take them, and drops them once it is gone."""
        for start in range(0, len(data), PIECE_MAX):
            self._packet(BYTES, data[start : start + PIECE_MAX])

    def end(self) -> None:
        """Nothing more comes."""
        self._packet(CLOSE, b"")

    def _packet(self, kind: bytes, data: bytes) -> None:
        packet = kind + self._number + data
        room = select.poll()
        room.register(self._connection, select.POLLOUT)
        while self.open:
            try:
                self._connection.send(packet, socket.MSG_DONTWAIT)
                return
            except BlockingIOError:
                room.poll(_MOMENT)  # never for long: an interrupt, or the end, may come meanwhile
            except OSError:
                return


def serve(environ: str, make: Callable[[Sender], Session]) -> None:
    """Listen in a thread of its own, if the manifest granted a channel; `make` is called for each session.

    Args:
        environ: the variable that names the channel's descriptor.
        make: called when a reader comes.
    """
    descriptor = os.environ.pop(environ, None)
    if descriptor is None:
        return
    connection = socket.socket(fileno=int(descriptor))
    os.set_inheritable(connection.fileno(), False)
    threading.Thread(target=_listen, args=(connection, make), name="kos-debug", daemon=True).start()


def _listen(connection: socket.socket, make: Callable[[Sender], Session]) -> None:
    session: Session | None = None
    sender: Sender | None = None
    while packet := connection.recv(PACKET_MAX):
        kind, number, data = packet[:1], packet[1:HEAD], packet[HEAD:]
        if kind == OPEN:
            sender = Sender(connection, number)
            session = make(sender)
        elif kind == BYTES and session is not None:
            session.feed(data)
        elif kind == CLOSE and session is not None and sender is not None:
            sender.open = False
            session.close()
            session = sender = None
