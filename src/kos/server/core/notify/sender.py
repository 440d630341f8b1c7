"""Brings the queue to its receivers: claim in one transaction, send, write down what came of it in another.

Runs in the process that holds the lease. A process that dies between the two leaves a claim that runs out;
the message is then sent again under the same id, which is how a receiver that had it already tells. Where the
database is away when the outcome is to be written, that is waited for: what has arrived is not sent again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.server.core.db.database import Database
from kos.server.core.db.models import Notification, NotificationChannel, Organisation, now
from kos.server.core.notify.events import FAILED, SENT, WAITING
from kos.server.core.notify.kinds import KINDS, Office
from kos.server.core.notify.outcome import Outcome

log = logging.getLogger(__name__)

POLL = 1.0  # seconds between two looks when nothing wakes us
BATCH = 50  # events in one message
AT_ONCE = 8  # channels that are sent to at one time; each has one message under way
CLAIM = 20_000  # ms that a claim counts: longer than any delivery may take
SKEW = 60_000  # ms that clocks of two processes may differ
FIRST_WAIT = 5.0  # seconds before the second try; twice as long before each further one
MOST_WAIT = 3600.0
ATTEMPTS_MAX = 32  # about a day
KEPT = 7 * 24 * 3600 * 1000  # ms that the log of what was sent goes back
RECORD_AGAIN = 1.0  # seconds


@dataclass(frozen=True)
class Delivery:
    """One message under way, as claimed."""

    channel: int
    claim: str
    kind: str
    sealed: str
    key: str  # of the message: the same at each try
    document: dict[str, Any]


class Sender:
    """One process' part; `run` is a job of the worker."""

    def __init__(self, database: Database, office: Office) -> None:
        self.database = database
        self.office = office
        self.wake = asyncio.Event()
        self._records: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                self.wake.clear()
                room = AT_ONCE - len(under_way)
                for delivery in await asyncio.to_thread(self.claim, room) if room else []:
                    task = asyncio.create_task(self._carry(delivery))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                    task.add_done_callback(lambda _: self.wake.set())
                try:
                    await asyncio.wait_for(self.wake.wait(), POLL)
                except TimeoutError:
                    continue
        finally:
            # A message that is half sent is sent whole: it takes seconds, and spares a repetition.
            await asyncio.gather(*under_way, return_exceptions=True)

    async def stop(self) -> None:
        """Give up writing outcomes down: the process ends."""
        for task in tuple(self._records):
            task.cancel()
        await asyncio.gather(*self._records, return_exceptions=True)

    async def _carry(self, delivery: Delivery) -> None:
        try:
            opened = self.office.seal.open(delivery.sealed)
            outcome = await KINDS[delivery.kind].deliver(self.office, opened, delivery.key, delivery.document)
        except KosError as error:
            outcome = Outcome(error.message)
        except Exception as error:  # ours; the queue goes on with the others
            log.exception("notification %s", delivery.key)
            outcome = Outcome(type(error).__name__)
        # A task of its own: neither the lease nor the job may end before it is written.
        task = asyncio.create_task(self._write_down(delivery, outcome))
        self._records.add(task)
        task.add_done_callback(self._records.discard)
        await asyncio.shield(task)

    async def _write_down(self, delivery: Delivery, outcome: Outcome) -> None:
        while True:
            try:
                await asyncio.to_thread(self.record, delivery, outcome)
                return
            except Exception as error:
                log.warning("outcome of notification %s not written yet: %s", delivery.key, error)
                await asyncio.sleep(RECORD_AGAIN)

    # --- in a thread --------------------------------------------------------------------------------------
    def claim(self, room: int) -> list[Delivery]:
        """Take messages that are due, at most one for each channel."""
        at = now()
        due = (Notification.channel_id == NotificationChannel.id, *_due(at))
        # A claim that reaches further than any can was made before the clock was put back.
        free = (NotificationChannel.claimed_until <= at) | (
            NotificationChannel.claimed_until > at + CLAIM + SKEW
        )
        chosen = (
            select(NotificationChannel)
            .where(NotificationChannel.enabled, free, exists().where(*due))
            .order_by(NotificationChannel.claimed_until)
            .limit(room)
        )
        with self.database.read() as session:
            if session.scalar(chosen.with_only_columns(NotificationChannel.id).limit(1)) is None:
                return []
        with self.database.write() as session:
            locked = chosen.with_for_update(skip_locked=True, of=NotificationChannel)
            found = [self._claim(session, channel, at) for channel in session.scalars(locked).all()]
            return [one for one in found if one is not None]

    def _claim(self, session: Session, channel: NotificationChannel, at: int) -> Delivery | None:
        own = Notification.channel_id == channel.id
        first = session.scalars(
            select(Notification).where(own, *_due(at)).order_by(Notification.id).limit(1)
        ).one_or_none()
        if first is None:
            return None  # another process was faster
        if not first.batch:
            fresh = select(Notification).where(own, Notification.state == WAITING, Notification.batch == "")
            rows = list(session.scalars(fresh.order_by(Notification.id).limit(BATCH)))
            for row in rows:
                row.batch = first.key
        else:
            rows = list(
                session.scalars(
                    select(Notification)
                    .where(own, Notification.batch == first.batch)
                    .order_by(Notification.id)
                )
            )
        channel.claim, channel.claimed_until = secrets.token_hex(16), at + CLAIM
        organisation = session.get_one(Organisation, channel.organisation_id)
        document = {
            "v": 1,
            "organisation": organisation.slug,
            "url": f"{self.office.public_url}/alarms" if self.office.public_url else "",
            "events": [row.event for row in rows],
        }
        return Delivery(channel.id, channel.claim, channel.kind, channel.sealed, first.batch, document)

    def record(self, delivery: Delivery, outcome: Outcome) -> None:
        """Write down what came of a delivery. What was deleted meanwhile is no mistake."""
        at = now()
        with self.database.write() as session:
            channel = session.get(NotificationChannel, delivery.channel, with_for_update=True)
            if channel is None:
                return
            if channel.claim == delivery.claim:
                channel.claim, channel.claimed_until = "", 0
            rows = session.scalars(
                select(Notification).where(
                    Notification.channel_id == channel.id,
                    Notification.batch == delivery.key,
                    Notification.state == WAITING,
                )
            ).all()
            channel.error = outcome.error
            if outcome.arrived:
                channel.sent_at = at
            if outcome.gone:
                channel.enabled = False
            for row in rows:
                row.attempts += 1
                row.error = outcome.error
                if outcome.arrived:
                    row.state, row.ended_at = SENT, at
                elif outcome.gone or row.attempts >= ATTEMPTS_MAX:
                    row.state, row.ended_at = FAILED, at
                else:
                    row.next_at = at + int(1000 * wait_after(row.attempts, outcome.wait))


def _due(at: int) -> tuple[ColumnElement[bool], ...]:
    """What may be sent now; a time further off than any wait was set before the clock was put back."""
    latest = at + int(2000 * MOST_WAIT)
    return Notification.state == WAITING, (Notification.next_at <= at) | (Notification.next_at > latest)


def wait_after(attempts: int, wanted: float | None = None) -> float:
    """Seconds until the next try: longer each time, spread, and as the receiver asks within our bounds."""
    top = min(FIRST_WAIT * 2 ** min(attempts - 1, 20), MOST_WAIT)
    spread = random.uniform(top * 0.8, top)
    return min(max(spread, wanted or 0.0), MOST_WAIT)


def forget_old(session: Session) -> None:
    """Delete what ended long ago."""
    old = Notification.ended_at < now() - KEPT
    session.execute(delete(Notification).where(Notification.state != WAITING, old))
