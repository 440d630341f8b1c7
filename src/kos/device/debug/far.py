"""The app's side of a stream, as the supervisor holds it."""

from __future__ import annotations

import socket

from kos.abi.debug import BYTES, CLOSE, HEAD, OPEN, PACKET_MAX, PIECE_MAX
from kos.abi.hints import Protocol


class Far(Protocol):
    """Where a stream leads. Nothing here waits.

    Attributes:
        fd: readable when something has come.
        words: why it ended, where it says so itself.
    """

    fd: int

    @property
    def words(self) -> str: ...

    def read(self) -> bytes | None:
        """What has come, at most PIECE_MAX bytes; None when the other side ended it.

        Raises:
            EOFError: the other side is gone.
        """

    def write(self, data: bytes) -> int:
        """Give it bytes; → how many it took, 0 when it has no room now.

        Raises:
            OSError: it is gone.
        """

    def close(self) -> None:
        """Leave it."""


class ChannelFar:
    """One session over the channel that an app inherited. The channel outlives it."""

    words = ""

    def __init__(self, channel: socket.socket, number: int) -> None:
        self.fd = channel.fileno()
        self._channel = channel
        self._number = number.to_bytes(HEAD - 1, "big")
        self._send(OPEN, b"")

    def read(self) -> bytes | None:
        try:
            packet = self._channel.recv(PACKET_MAX, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        except OSError:
            packet = b""
        if not packet:
            raise EOFError
        if packet[1:HEAD] != self._number:
            return b""  # left over from a session before
        return None if packet[:1] == CLOSE else packet[HEAD:]

    def write(self, data: bytes) -> int:
        try:
            self._send(BYTES, data[:PIECE_MAX])
        except BlockingIOError:
            return 0
        return min(len(data), PIECE_MAX)

    def close(self) -> None:
        try:
            self._send(CLOSE, b"")
        except OSError:
            pass  # it ended, or does not listen: the next session's number tells it

    def _send(self, kind: bytes, data: bytes) -> None:
        self._channel.send(kind + self._number + data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
