"""From the bus' stream into the database, exactly once: data and offset are written in one transaction, and
with them how far each device's spools are, because a device sends again what it does not know to be stored.

Only the process that holds the lease runs this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import nats.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.abi.record_mark import RECORD_HEADER, RecordMark
from kos.abi.session import (
    UP_CONSOLE,
    UP_DATA,
    UP_EVENT,
    UP_REPORT,
    UP_TELEMETRY,
    Console,
    Event,
    Report,
    Telemetry,
)
from kos.server.core.bus.client import STREAM, Bus, StreamFacts
from kos.server.core.data.alarms import AlarmBook
from kos.server.core.data.crashes import unknown
from kos.server.core.data.outlet import Out, Outlet
from kos.server.core.data.points import PointWriter, Row, corrected, measured
from kos.server.core.data.positions import Positions
from kos.server.core.data.progress import AnotherStream, resume, row_to_move
from kos.server.core.data.reports import apply_report, metric_points
from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, DeviceEvent, IngestOffset, LogLine, Organisation, now
from kos.server.core.devices.identity import ACCEPTED
from kos.server.core.live import Live
from kos.server.core.telemetry import Tracer

log = logging.getLogger(__name__)

BATCH = 1000  # documents in one transaction
WAIT = 1.0  # seconds without a document after which the consumer is checked
CONSUMER_IDLE = 60.0  # seconds after which the bus forgets a consumer nobody asks
PURGE_EVERY = 20_000  # documents in the database before the stream lets go of them
RULES_EVERY = 5.0  # seconds between two readings of the alarm rules


@dataclass
class Batch:
    """What one batch of documents comes to."""

    reports: dict[str, tuple[Report, int]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    lines: list[dict[str, object]] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)


@dataclass(frozen=True)
class Document:
    """One message of the stream, without the bus around it."""

    sequence: int
    device: str
    kind: str
    received: int  # ms
    data: bytes
    mark: RecordMark | None = None  # of what a device keeps until we have it

    @property
    def topic(self) -> str | None:
        """The app and its topic, of what an app published as it liked."""
        start = f"{UP_DATA}."
        return self.kind.removeprefix(start) if self.kind.startswith(start) else None


class Ingest:
    """One run of the ingest while we hold the lease."""

    def __init__(self, database: Database, bus: Bus, live: Live, wake: asyncio.Event, tracer: Tracer) -> None:
        self.tracer = tracer
        self.database = database
        self.bus = bus
        self.live = live
        self.wake = wake  # set when something changed that the rollouts care about
        self.points = PointWriter()
        self.alarms = AlarmBook()
        self.outlet = Outlet(bus)
        self.known_until = 0  # ms: what devices sent until then is in the database; 0: nothing is known yet
        self.facts = StreamFacts("", 0)  # of the stream that is read
        self.stored = 0
        self.refused = 0
        self.repeated = 0  # records that came again, or before one that they must follow

    async def run(self) -> None:
        """Until cancelled."""
        rules_at = 0.0
        clock = asyncio.get_running_loop().time
        while True:
            try:
                consumer, purged = await self._consumer()
                while True:
                    if clock() - rules_at > RULES_EVERY:
                        await asyncio.to_thread(self._load_rules)
                        rules_at = clock()
                    try:
                        messages = await consumer.fetch(BATCH, timeout=WAIT)
                    except nats.errors.TimeoutError:
                        info = await consumer.consumer_info()  # raises when the bus has lost it
                        self._reached(info.num_pending, self.known_until)
                        continue
                    last = await self._take(messages)
                    newest = messages[-1].metadata
                    self._reached(newest.num_pending, int(newest.timestamp.timestamp() * 1000))
                    if last - purged >= PURGE_EVERY:
                        await self.bus.client.jetstream().purge_stream(STREAM, seq=last + 1)
                        purged = last
            except (nats.errors.Error, JetStreamError, OSError, AnotherStream) as error:
                log.warning("ingest: %s; beginning anew", str(error) or type(error).__name__)
                await asyncio.sleep(0.5)

    async def _consumer(self):  # type: ignore[no-untyped-def]
        """What gives us the messages after those in the database, and where that is."""
        stream = self.bus.client.jetstream()
        try:
            progress, self.facts = await resume(self.database, self.bus)
        except NotFoundError:  # the bus began anew under us
            await self.bus.ensure_streams()
            progress, self.facts = await resume(self.database, self.bus)
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=progress.sequence + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=CONSUMER_IDLE,
            mem_storage=True,
            num_replicas=1,
        )
        info = await stream.add_consumer(STREAM, config)
        self._reached(info.num_pending, self.known_until)
        return await stream.pull_subscribe_bind(consumer=info.name, stream=STREAM), progress.sequence

    def heard(self) -> int:
        """Until when (ms) it is known what devices said: who said nothing since may still have."""
        return min(now(), self.known_until)

    def _reached(self, waiting: int | None, newest: int) -> None:
        """Remember how far we are: up to the newest that was taken, or up to now where nothing waits."""
        self.known_until = newest if waiting else now()

    async def _take(self, messages: Sequence[Msg]) -> int:
        documents = []
        for message in messages:
            _, _, device, _, kind = message.subject.split(".", 4)
            meta = message.metadata
            received = int(meta.timestamp.timestamp() * 1000)
            mark = self._mark(device, (message.headers or {}).get(RECORD_HEADER))
            documents.append(Document(meta.sequence.stream, device, kind, received, message.data, mark))
        if any(one.topic for one in documents):
            await self.outlet.publish(await asyncio.to_thread(self._for_readers, documents), self.facts)
        changed = await asyncio.to_thread(self.store, documents)
        for device, organisation in changed.items():
            await self.live.tell(organisation, "device", device=device)
        if changed:
            self.wake.set()
        return documents[-1].sequence

    def _mark(self, device: str, text: str | None) -> RecordMark | None:
        try:
            return RecordMark.parse(text) if text else None
        except KosError as error:
            log.warning("device %s: %s", device, error)
            return None

    # --- in a thread --------------------------------------------------------------------------------------
    def _load_rules(self) -> None:
        with self.database.read() as session:
            self.alarms.load(session)

    def _for_readers(self, documents: Sequence[Document]) -> list[Out]:
        """What `store` will find new among what apps published: the same is decided there again."""
        with self.database.read() as session:
            row = session.get(IngestOffset, STREAM)
            fresh = [one for one in documents if row is None or one.sequence > row.sequence]
            known = self._devices(session, {one.device for one in fresh})
            slugs = {row.id: row.slug for row in session.scalars(select(Organisation))}
            new = self._new(Positions(session, known), fresh, known)
            return [
                Out(one.sequence, slugs[known[one.device].organisation_id], one.device, one.topic, one.data)
                for one in new
                if one.topic
            ]

    @staticmethod
    def _new(positions: Positions, documents: Sequence[Document], known: dict[str, Device]) -> list[Document]:
        """Those of devices that have something to say, without what came before or too early."""
        return [
            one
            for one in documents
            if one.device in known
            and (one.mark is None or positions.take(one.device, one.mark, one.received))
        ]

    def store(self, documents: Sequence[Document]) -> dict[str, int]:
        """One transaction. Says which devices changed visibly, with their organisations."""
        try:
            with (
                self.tracer.span("ingest.store", documents=len(documents)),
                self.database.write() as session,
            ):
                return self._store(session, documents)
        except Exception:
            self.points.forget()
            raise

    def _store(self, session: Session, documents: Sequence[Document]) -> dict[str, int]:
        row = row_to_move(session)
        if row.made != self.facts.made:
            raise AnotherStream("the bus has another stream by now")
        fresh = [one for one in documents if one.sequence > row.sequence]
        if not fresh:
            return {}
        row.sequence = fresh[-1].sequence
        known = self._devices(session, {one.device for one in fresh})
        batch = Batch()
        # A device that was revoked meanwhile has nothing to say any more.
        marked = {one.device for one in fresh if one.mark is not None and one.device in known}
        positions = Positions(session, marked)
        new = self._new(positions, fresh, known)
        positions.save(session)
        self.repeated += sum(one.device in known for one in fresh) - len(new)
        for one in new:
            try:
                self._sort(batch, one)
            except KosError as error:
                self.refused += 1
                log.warning("device %s: %s", one.device, error)
        changed = {}
        for device, (report, received) in batch.reports.items():
            if apply_report(known[device], report, received):
                changed[device] = known[device].organisation_id
        self.points.write(session, batch.rows)
        if batch.lines:
            session.execute(insert(LogLine), batch.lines)
        if events := unknown(session, batch.events):
            session.execute(insert(DeviceEvent), events)
            changed |= {one["device_id"]: known[one["device_id"]].organisation_id for one in events}
        for device in self.alarms.take(session, batch.rows):
            changed[device] = known[device].organisation_id
        self.stored += len(fresh)
        return changed

    def _devices(self, session: Session, wanted: set[str]) -> dict[str, Device]:
        chosen = select(Device).where(Device.id.in_(wanted), Device.status == ACCEPTED)
        return {row.id: row for row in session.scalars(chosen)}

    def _sort(self, batch: Batch, one: Document) -> None:
        if one.topic:
            age = one.mark.age if one.mark is not None else 0
            batch.rows += [
                (one.device, *point) for point in measured(one.topic, one.data, one.received - age)
            ]
            return
        match one.kind:
            case kind if kind == UP_REPORT:
                report = Report.parse(one.data)
                batch.rows += [(one.device, *point) for point in metric_points(report, one.received)]
                batch.reports[one.device] = (report, one.received)
            case kind if kind == UP_TELEMETRY:
                document = Telemetry.parse(one.data)
                batch.rows += [(one.device, *point) for point in corrected(document, one.received)]
            case kind if kind == UP_CONSOLE:
                console = Console.parse(one.data)
                batch.lines += [
                    {
                        "device_id": one.device,
                        "at": one.received,
                        "boot": console.boot,
                        "seconds": seconds,
                        "app": app,
                        "text": text,
                    }
                    for seconds, app, text in console.lines
                ]
            case kind if kind == UP_EVENT:
                event = Event.parse(one.data)
                batch.events.append(
                    {
                        "device_id": one.device,
                        "at": one.received,
                        "kind": event.kind,
                        "app": event.app,
                        "text": event.text,
                        "detail": event.detail,
                    }
                )
