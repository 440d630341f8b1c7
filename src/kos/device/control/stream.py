"""A reader's end of a stream: what a tool holds in its hand, whatever carries it.

One thread may send while another receives. What was received is granted again when the next piece is asked
for, so a reader that stops reading stops the app that writes, and nothing grows between them.
"""

from __future__ import annotations

import base64
import json
import os
import threading

from kos.abi.debug import PIECE_MAX
from kos.abi.errors import KosError
from kos.abi.hints import TYPE_CHECKING, Protocol
from kos.abi.stream import WINDOW

if TYPE_CHECKING:
    from kos.device.control.client import ControlClient

SEND_SECONDS = 30.0  # that an app may take to take what was sent


class Carrier(Protocol):
    """What takes the pieces to the other side and brings its own."""

    def send_data(self, data: bytes) -> None: ...

    def send_more(self, count: int) -> None: ...

    def receive(self) -> tuple[bytes, int, str | None]:
        """Wait for what comes next: bytes, how many more we may send, why it was closed if it was."""

    def close(self) -> None: ...


class StreamReader:
    """One open stream.

    Attributes:
        reason: why it was closed; None while it is open.
    """

    def __init__(self, carrier: Carrier) -> None:
        self.reason: str | None = None
        self._carrier = carrier
        self._allowed = WINDOW
        self._room = threading.Condition()
        self._taken = 0

    def send(self, data: bytes) -> None:
        """Send bytes; waits while the app does not take them.

        Raises:
            KosError: the stream was closed, or the app took nothing for SEND_SECONDS.
        """
        for start in range(0, len(data), PIECE_MAX):
            piece = data[start : start + PIECE_MAX]
            with self._room:
                if not self._room.wait_for(lambda: self._allowed >= PIECE_MAX or self.reason, SEND_SECONDS):
                    raise KosError(f"the app took nothing for {SEND_SECONDS:g} s")
                if self.reason is not None:
                    raise KosError(f"the stream was closed: {self.reason}")
                self._allowed -= len(piece)
            self._carrier.send_data(piece)

    def receive(self) -> bytes:
        """Wait for bytes; b"" when it was closed."""
        while self.reason is None:
            if self._taken:
                self._carrier.send_more(self._taken)
                self._taken = 0
            data, more, closed = self._carrier.receive()
            with self._room:
                self._allowed += more
                self.reason = closed
                self._room.notify_all()
            if data:
                self._taken = len(data)
                return data
        return b""

    def close(self) -> None:
        self._carrier.close()


class ControlCarrier:
    """Over a supervisor's control socket, which it has for itself."""

    def __init__(self, client: ControlClient, kind: str, app: str, who: str) -> None:
        self._client = client
        self._identity = os.urandom(4).hex()
        client.request("stream.open", app=app, kind=kind, id=self._identity, who=who)
        client.unlimited()

    def send_data(self, data: bytes) -> None:
        self._send("stream.data", data=base64.b64encode(data).decode())

    def send_more(self, count: int) -> None:
        self._send("stream.more", bytes=count)

    def receive(self) -> tuple[bytes, int, str | None]:
        line = self._client.line()
        if not line:
            return b"", 0, "the system was stopped"
        value = json.loads(line)
        return base64.b64decode(value.get("data", "")), value.get("more", 0), value.get("closed")

    def close(self) -> None:
        self._client.close()

    def _send(self, operation: str, **members: object) -> None:
        self._client.tell(operation, id=self._identity, **members)
