"""Data of apps, out again for readers: each record once and in order, in a stream and to MQTT clients.

What the reader of the bus' stream (`ingest`) takes as new is written to a stream of its own before the
database says that it is stored. Each message there tells which one of the bus' stream it is, so after a crash
the last one says where to go on; and each says after which one it must come, so a process that lost its lease
writes nothing. The bus repeats to subscribers only what that stream stored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import nats.errors
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from kos.server.core.bus.client import CLEAN_ROOT, DATA_STREAM, Bus, StreamFacts

log = logging.getLogger(__name__)

SOURCE = "Kos-Source"  # which message of the bus' stream this is
MADE = "Kos-Source-Made"  # and when that stream was made
EXPECTED = "Nats-Expected-Last-Sequence"
TOPIC_MAX = 512  # characters; a device that sends more has written its own relay, and readers miss it
TIMEOUT = 20.0  # seconds until all of a batch is stored
PATIENCE = 30.0  # seconds for which the database waits for a stream of readers that fails
PAUSE, PROBE_TIMEOUT = 60.0, 5.0  # seconds between two tries after that, and for one of them
NOT_THE_LAST = {10071, 10164}  # err_code: somebody else wrote meanwhile


@dataclass(frozen=True)
class Out:
    """One record for readers.

    Attributes:
        source: its place in the bus' stream.
        organisation: the slug of the device's.
        device: its id.
        topic: the app and its topic, as the end of a subject.
    """

    source: int
    organisation: str
    device: str
    topic: str
    payload: bytes


class Outlet:
    """The writer of the stream for readers; only the process that ingests has one.

    Attributes:
        missed: records, at most, that the database has and the readers' stream has not, because it failed.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.monotonic) -> None:
        self.missed = 0
        self._bus = bus
        self._clock = clock
        self._open = False
        self._last = 0  # sequence of the last message of our stream
        self._source = 0  # and which one of the bus' stream it is
        self._made = ""  # that stream
        self._failing = 0.0  # since when; 0.0: it does not
        self._failed = 0.0  # the last time
        self._given_up = False

    async def publish(self, records: Sequence[Out], facts: StreamFacts) -> None:
        """Return when all are in the stream, or when it has failed for so long that they must do without it.

        Args:
            records: in the order of their stream.
            facts: of that stream.

        Raises:
            what the bus' client raises: then the same records are to be published again.
        """
        if not records or (self._given_up and self._clock() < self._failed + PAUSE):
            self.missed += len(records)
            return
        try:
            async with asyncio.timeout(PROBE_TIMEOUT if self._given_up else TIMEOUT):
                if not self._open or self._made != facts.made:
                    await self._begin(facts)
                await self._publish(records)
        except (nats.errors.Error, JetStreamError, OSError) as error:
            self._open = False
            if getattr(error, "err_code", None) in NOT_THE_LAST or not self._give_up(error):
                raise
            self.missed += len(records)
        else:
            if self._given_up:
                log.warning("readers get data again; %s records have not reached their stream", self.missed)
            self._failing, self._given_up = 0.0, False

    def _give_up(self, error: Exception) -> bool:
        """Whether it has failed for so long that the database goes on without it."""
        now = self._clock()
        if not self._failing or now > self._failed + PAUSE + TIMEOUT:  # another trouble than the last one
            self._failing = now
        self._failed = now
        if not self._given_up and now - self._failing < PATIENCE:
            return False
        if not self._given_up:
            log.error("readers get no data: %s", str(error) or type(error).__name__)
        self._given_up = True
        return True

    async def _begin(self, facts: StreamFacts) -> None:
        """Find out how far we are."""
        stream = self._bus.client.jetstream()
        try:
            state = (await stream.stream_info(DATA_STREAM)).state
        except NotFoundError:
            await self._bus.ensure_streams()
            state = (await stream.stream_info(DATA_STREAM)).state
        self._last, self._source, self._made = state.last_seq, 0, facts.made
        if state.messages:
            headers = (await stream.get_msg(DATA_STREAM, seq=state.last_seq)).headers or {}
            if headers.get(MADE, facts.made) == facts.made:
                self._source = min(int(headers[SOURCE]), facts.last)
        self._open = True

    async def _publish(self, records: Sequence[Out]) -> None:
        fresh = [one for one in records if one.source > self._source and len(one.topic) <= TOPIC_MAX]
        stream = self._bus.client.jetstream()
        publishing = []
        for number, one in enumerate(fresh):
            subject = f"{CLEAN_ROOT}.{one.organisation}.{one.device}.{one.topic}"
            headers = {SOURCE: str(one.source), MADE: self._made, EXPECTED: str(self._last + number)}
            # Not the client's publish_async: of that one an error is never heard (nats-py 2.16).
            publishing.append(stream.publish(subject, one.payload, timeout=TIMEOUT, headers=headers))
        # All at once, in their order. Of the answers the first that is an error counts: those after it only
        # say that it is missing.
        for answer in await asyncio.gather(*publishing, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
        if fresh:
            self._last += len(fresh)
            self._source = fresh[-1].source
