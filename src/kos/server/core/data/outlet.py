"""Data of apps, out again for readers: each record once and in order, in a stream and to MQTT clients.

What the reader of the bus' stream (`ingest`) takes as new is written to a stream of its own before the
database says that it is stored. Each message there tells which one of the bus' stream it is, so after a crash
the last one says where to go on; and each says after which one it must come, so a process that lost its lease
writes nothing. The bus repeats to subscribers only what that stream stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from kos.server.core.bus.client import CLEAN_ROOT, DATA_STREAM, Bus

SOURCE = "Kos-Source"  # which message of the bus' stream this is
EXPECTED = "Nats-Expected-Last-Sequence"
TOPIC_MAX = 512  # characters; a device that sends more has written its own relay, and readers miss it
TIMEOUT = 20.0  # seconds until all of a batch is stored


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
    """The writer of the stream for readers; only the process that ingests has one."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._last = 0  # sequence of the last message of our stream
        self._source = 0  # and which one of the bus' stream it is

    async def open(self) -> None:
        """Find out how far we are. Raises what the bus' client raises."""
        stream = self._bus.client.jetstream()
        state = (await stream.stream_info(DATA_STREAM)).state
        self._last, self._source = state.last_seq, 0
        if state.messages:
            message = await stream.get_msg(DATA_STREAM, seq=state.last_seq)
            self._source = int((message.headers or {})[SOURCE])

    async def publish(self, records: Sequence[Out]) -> None:
        """Return when all are in the stream. Raises what the bus' client raises: then `open` again."""
        fresh = [one for one in records if one.source > self._source and len(one.topic) <= TOPIC_MAX]
        stream = self._bus.client.jetstream()
        pending = []
        for number, one in enumerate(fresh):
            subject = f"{CLEAN_ROOT}.{one.organisation}.{one.device}.{one.topic}"
            headers = {SOURCE: str(one.source), EXPECTED: str(self._last + number)}
            pending.append(await stream.publish_async(subject, one.payload, headers=headers))
        if pending:
            await asyncio.wait_for(asyncio.gather(*pending), TIMEOUT)
            self._last += len(pending)
            self._source = fresh[-1].source
