"""Clients of the trace admin port that watch: frames kept for each until it reads them. No transport.

A client that does not read loses frames, then its watch; nobody waits for it.
"""

from __future__ import annotations

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import TRACE_LEASE, TRACE_READ, TRACE_STOP, TRACE_WATCH, TRACE_WATCHERS_MAX
from kos.abi.status import Status
from kos.services.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer

KEPT_MAX = 512 * 1024  # bytes of frames that wait for one client


class _Watcher:
    __slots__ = ("kept", "read_at")

    def __init__(self, now: float) -> None:
        self.kept = bytearray()
        self.read_at = now


class Watchers:
    """Who watches. `begins` is called whenever one more does; `now` is seconds of a monotonic clock."""

    def __init__(self, begins, clock) -> None:
        self._watchers: dict[str, _Watcher] = {}
        self._begins = begins
        self._clock = clock

    def handle(self, app: str, label: int, _param: int, payload: bytes) -> Answer:
        """Answer a client of the admin port."""
        if payload:
            return BAD_REQUEST
        match label:
            case x if x == TRACE_WATCH:
                return self._watch(app)
            case x if x == TRACE_READ:
                return self._read(app)
            case x if x == TRACE_STOP:
                self._watchers.pop(app, None)
                return Answer(Status.OK)
        return NOT_IMPLEMENTED

    def any(self) -> bool:
        """Whether somebody watches; those who went away without a word do not."""
        limit = self._clock() - TRACE_LEASE
        for app in [app for app, watcher in list(self._watchers.items()) if watcher.read_at < limit]:
            self._watchers.pop(app, None)
        return bool(self._watchers)

    def give(self, line: bytes) -> None:
        """One frame, as a line."""
        for watcher in list(self._watchers.values()):
            if len(watcher.kept) + len(line) <= KEPT_MAX:
                watcher.kept += line

    def _watch(self, app: str) -> Answer:
        if app not in self._watchers and len(self._watchers) >= TRACE_WATCHERS_MAX:
            return Answer(Status.FULL)
        self._watchers[app] = _Watcher(self._clock())
        self._begins()
        return Answer(Status.OK)

    def _read(self, app: str) -> Answer:
        watcher = self._watchers.get(app)
        if watcher is None:
            return Answer(Status.UNAVAILABLE)
        watcher.read_at = self._clock()
        part = bytes(watcher.kept[:PAYLOAD_MAX_SIZE])
        del watcher.kept[: len(part)]
        return Answer(Status.OK, len(watcher.kept), part)
