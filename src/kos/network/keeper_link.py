"""A service's connection to the keeper of the network: ask, hear of events. See `kos.abi.network`."""

from __future__ import annotations

import json
import os
import socket

from kos.abi import network as wire
from kos.abi.errors import KosError
from kos.abi.hints import Any


class KeeperLink:
    """One connection. For one thread: events that come while an answer is awaited are kept in `events`."""

    def __init__(self, link: socket.socket) -> None:
        self.socket = link
        self.events: list[str] = []

    @classmethod
    def inherited(cls) -> KeeperLink | None:
        """The connection that the supervisor gave us; None where the system runs without a network."""
        text = os.environ.get(wire.ENVIRON)
        return cls(socket.socket(fileno=int(text))) if text else None

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            KosError: the keeper refused, or is gone.
        """
        answer, descriptors = self.ask_for_descriptors(op, **arguments)
        for descriptor in descriptors:
            os.close(descriptor)
        return answer

    def ask_for_descriptors(self, op: str, **arguments: Any) -> tuple[dict[str, Any], list[int]]:
        """The same with the descriptors that came along."""
        self.socket.send(json.dumps({"op": op, **arguments}).encode())
        while True:
            packet, descriptors, _, _ = socket.recv_fds(self.socket, wire.PACKET_MAX, wire.DESCRIPTORS_MAX)
            message = self._message(packet)
            if "event" in message:
                self.events.append(message["event"])
            elif message["ok"]:
                return message, descriptors
            else:
                raise KosError(str(message["error"]))

    def read_event(self) -> str:
        """The next event, waiting for it."""
        if not self.events:
            self.events.append(str(self._message(self.socket.recv(wire.PACKET_MAX)).get("event", "")))
        return self.events.pop(0)

    @staticmethod
    def _message(packet: bytes) -> dict[str, Any]:
        if not packet:
            raise KosError("the keeper of the network is gone")
        message: dict[str, Any] = json.loads(packet)
        return message
