"""The log server's logic: who wrote which line, how much of it is kept, who may read it. No transport."""

from __future__ import annotations

import time
from collections.abc import Callable

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import LOG_LEVEL_DEBUG, LOG_LEVEL_WARN, LOG_READ, LOG_WRITE
from kos.abi.status import Status
from kos.services.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer
from kos.services.log.limiter import Limiter
from kos.services.log.record import LEVELS, Record, clean
from kos.services.log.ring import Ring


class LogServer:
    """Takes lines from apps, prints them as structured console lines and keeps the newest.

    Args:
        ring: where lines are kept.
        limiter: how much each app may write.
        level: the least level that is kept and printed; anything below is accepted and forgotten.
        show: prints one line on the console.
    """

    def __init__(
        self,
        ring: Ring,
        limiter: Limiter,
        show: Callable[[str], None],
        *,
        level: int = LOG_LEVEL_DEBUG,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ring = ring
        self._limiter = limiter
        self._show = show
        self._level = level
        self._wall = wall
        self._monotonic = monotonic

    def write(self, app: str, label: int, param: int, payload: bytes) -> Answer:
        """Answer a client of the log port."""
        if label != LOG_WRITE:
            return NOT_IMPLEMENTED
        if param not in LEVELS:
            return BAD_REQUEST
        # What is filtered out costs its app nothing of its rate.
        if param < self._level:
            return Answer(Status.OK)
        if not self._limiter.allow(app, self._monotonic()):
            return Answer(Status.FULL)
        if dropped := self._limiter.take_dropped(app):
            self._keep(app, LOG_LEVEL_WARN, f"[{dropped} lines dropped: over this app's rate]")
        self._keep(app, param, clean(payload))
        return Answer(Status.OK)

    def read(self, _app: str, label: int, param: int, payload: bytes) -> Answer:
        """Answer a client of the admin port."""
        if label != LOG_READ:
            return NOT_IMPLEMENTED
        if payload:
            return BAD_REQUEST
        data = bytearray()
        following = self._ring.next_sequence
        for record in self._ring.since(param):
            encoded = record.encode()
            if len(data) + len(encoded) > PAYLOAD_MAX_SIZE:
                following = record.sequence
                break
            data += encoded
        return Answer(Status.OK, following, bytes(data))

    def _keep(self, app: str, level: int, text: str) -> None:
        record = Record(self._ring.next_sequence, int(self._wall() * 1000), level, app, text)
        self._show(record.console())
        self._ring.append(record)
