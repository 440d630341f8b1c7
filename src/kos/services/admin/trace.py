"""The trace on its way to the server, while somebody watches there and no longer.

Frames come from the supervisor's control socket or, in the admin app, from the trace admin port. What the
connection cannot take is left out; who watches sees that by the numbers of the records.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from kos.abi.errors import KosError
from kos.abi.session import TRACE_LEASE_MAX, dump
from kos.services.admin.supervisor import SupervisorLink

POLL = 0.1  # seconds between two looks at the trace admin port
RATE = 256 * 1024  # bytes of frames a second that go to the server; as much at once
READS_MAX = 64  # of one look

Answer = Callable[[dict[str, Any]], None]


class TracePort(Protocol):
    """The trace admin port, as the admin app has it. Each call raises KosError."""

    def watch(self) -> None: ...

    def read(self) -> bytes: ...

    def stop(self) -> None: ...


class TraceRelay:
    """Passes frames on as long as the server says that somebody watches.

    Args:
        link: to the supervisor, which calls `take` with each frame.
        port: the trace admin port; None where the supervisor's socket gives the trace.
        send: sends one document at once, or not at all.
    """

    def __init__(self, link: SupervisorLink, port: TracePort | None, send: Callable[[bytes], None]) -> None:
        self._link = link
        self._port = port
        self._send = send
        self._until: float | None = None  # None: nobody watches
        self._budget = float(RATE)
        self._at = 0.0
        self._poll_at = 0.0
        self._unread = bytearray()

    def start(self, params: dict[str, Any], now: float, answer: Answer) -> None:
        """Somebody watches for some more seconds; `anew` when they know nothing yet."""
        seconds = params.get("seconds")
        if not isinstance(seconds, int | float) or not 0 < seconds <= TRACE_LEASE_MAX:
            hint = f"a number of seconds up to {TRACE_LEASE_MAX}"
            answer({"ok": False, "error": {"message": "trace: for how long?", "hint": hint}})
            return
        running, self._until = self._until is not None, now + seconds
        if running and not params.get("anew"):
            answer({"ok": True})
        elif self._port is None:
            self._link.request("trace", lambda found: self._begun(found, answer))
        else:
            try:
                self._port.watch()
                self._begun({"ok": True}, answer)
            except KosError as error:
                found = {"ok": False, "error": {"message": error.message, "hint": error.hint}}
                self._begun(found, answer)

    def stop(self) -> None:
        """Nobody watches, or there is no server to send to."""
        if self._until is None:
            return
        self._until = None
        self._unread.clear()
        if self._port is None:
            self._link.request("trace_stop", _ignore)
        else:
            try:
                self._port.stop()
            except KosError:
                return  # it ends by itself when nobody reads

    def take(self, frame: Any) -> None:
        """A frame from the supervisor."""
        if self._until is not None:
            self._pass(frame)

    def due(self) -> float:
        """When `turn` must be called."""
        if self._until is None:
            return float("inf")
        return self._until if self._port is None else min(self._until, self._poll_at)

    def turn(self, now: float) -> None:
        self._budget = min(RATE, self._budget + (now - self._at) * RATE)
        self._at = now
        if self._until is None:
            return
        if now >= self._until:
            self.stop()
        elif self._port is not None and now >= self._poll_at:
            self._poll_at = now + POLL
            self._read(self._port)

    def _read(self, port: TracePort) -> None:
        try:
            for _ in range(READS_MAX):
                data = port.read()
                if not data:
                    break
                self._unread += data
        except KosError:
            self.stop()
            return
        *lines, rest = bytes(self._unread).split(b"\n")
        self._unread = bytearray(rest)
        for line in lines:
            self._pass(json.loads(line))

    def _begun(self, found: dict[str, Any], answer: Answer) -> None:
        if not found["ok"]:
            self._until = None
        answer(found)

    def _pass(self, frame: Any) -> None:
        try:
            document = dump({"frame": frame})
        except (KosError, ValueError):
            return  # larger than a document: as good as lost
        # What is not repeated goes whatever it takes: who is at the ends of a mailbox, above all.
        if "rings" in frame and len(document) > self._budget:
            return
        self._budget -= len(document)
        self._send(document)


def _ignore(_answer: dict[str, Any]) -> None:
    """The answer says nothing new."""
