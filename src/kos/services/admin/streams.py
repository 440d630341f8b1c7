"""Streams between the server and the supervisor: passed on piece by piece, ended when one side falls
silent.

Admin decides nothing about them: the supervisor knows what the manifest opens, the server who may ask. No
I/O.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from kos.abi.errors import KosError
from kos.abi.stream import ID, SILENCE_MAX, STREAMS_MAX, Data, End, Frame, More, parse
from kos.services.admin.supervisor import SupervisorLink

Answer = Callable[[dict[str, Any]], None]


class StreamRelay:
    """The streams that are open now.

    Args:
        supervisor: where they lead.
        send: takes a stream's id and a frame to the server.
    """

    def __init__(self, supervisor: SupervisorLink, send: Callable[[str, bytes], None]) -> None:
        self._supervisor = supervisor
        self._send = send
        self._heard: dict[str, float] = {}  # when the server last spoke on each

    def open(self, params: dict[str, Any], now: float, answer: Answer) -> None:
        """The server asks for a stream."""
        identity = params.get("id")
        if not isinstance(identity, str) or not ID.fullmatch(identity) or identity in self._heard:
            answer(_refusal("a stream's id is 1 to 32 letters and digits that no other open one has"))
            return
        if len(self._heard) >= STREAMS_MAX:
            answer(_refusal(f"this device has {STREAMS_MAX} streams open already"))
            return
        self._heard[identity] = now

        def opened(found: dict[str, Any]) -> None:
            if not found["ok"]:
                self._heard.pop(identity, None)
            elif identity not in self._heard:  # the server left meanwhile
                self._supervisor.tell("stream.close", id=identity)
            answer(found)

        wanted = {key: str(params.get(key, "")) for key in ("app", "kind", "who")}
        self._supervisor.request("stream.open", opened, id=identity, **wanted)

    def from_server(self, identity: str, raw: bytes, now: float) -> None:
        """A frame for a stream, which may have ended meanwhile."""
        if identity not in self._heard:
            return
        try:
            frame = parse(raw)
        except KosError as error:
            self._end(identity, error.message)
            return
        self._heard[identity] = now
        match frame:
            case Data(data):
                self._supervisor.tell("stream.data", id=identity, data=base64.b64encode(data).decode())
            case More(count) if count:
                self._supervisor.tell("stream.more", id=identity, bytes=count)
            case End(reason):
                self._close(identity, reason)

    def from_supervisor(self, value: dict[str, Any]) -> None:
        """What the supervisor says of a stream."""
        identity = value["stream"]
        if identity not in self._heard:
            return
        frame: Frame
        if "data" in value:
            frame = Data(base64.b64decode(value["data"]))
        elif "closed" in value:
            frame = End(value["closed"])
            del self._heard[identity]
        else:
            frame = More(value["more"])
        self._send(identity, frame.to_bytes())

    def lost(self) -> None:
        """The server is gone, and whoever looked with it."""
        for identity in tuple(self._heard):
            self._close(identity, "the connection to the server was lost")

    def deadline(self) -> float:
        """When `tick` must be called at the latest."""
        return min(self._heard.values(), default=float("inf")) + SILENCE_MAX

    def tick(self, now: float) -> None:
        """End streams whose reader has given no sign of life."""
        for identity, heard in tuple(self._heard.items()):
            if now - heard >= SILENCE_MAX:
                self._end(identity, f"no sign of life from the reader for {SILENCE_MAX:g} s")

    def _end(self, identity: str, reason: str) -> None:
        self._send(identity, End(reason).to_bytes())
        self._close(identity, reason)

    def _close(self, identity: str, reason: str) -> None:
        self._heard.pop(identity, None)
        self._supervisor.tell("stream.close", id=identity, reason=reason)


def _refusal(message: str) -> dict[str, Any]:
    return {"ok": False, "error": {"message": message, "hint": None}}
