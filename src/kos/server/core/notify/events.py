"""What is worth a notification, and its way into the queue: in the transaction of the event itself.

Sends nothing; that is `kos.server.core.notify.sender`'s business.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kos.server.core.db.models import Notification, NotificationChannel, now

SEVERITIES = ("info", "warning", "critical")  # from mild to grave
WAITING = "waiting"
SENT = "sent"
FAILED = "failed"  # given up
QUEUE_MAX = 10_000  # events that wait for one channel; further ones are counted and dropped
TITLE_MAX = 256  # characters


@dataclass(frozen=True)
class Occurrence:
    """Something that happened.

    Attributes:
        kind: such as "alarm.raised"; part of what receivers rely on.
        severity: one of `SEVERITIES`.
        title: one line for people.
        at: when, in milliseconds since 1970.
        detail: the same for programs.
    """

    kind: str
    severity: str
    title: str
    at: int
    detail: dict[str, Any] = field(default_factory=dict)


def wanted(channel_severity: str, severity: str) -> bool:
    """Whether a channel takes events of a severity."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(channel_severity)


def enqueue(session: Session, organisation_id: int, occurrences: Sequence[Occurrence]) -> int:
    """Queue events for every channel of an organisation that wants them; says how many rows came of it."""
    if not occurrences:
        return 0
    chosen = select(NotificationChannel).where(
        NotificationChannel.organisation_id == organisation_id, NotificationChannel.enabled
    )
    count = 0
    for channel in session.scalars(chosen):
        count += put(session, channel, [one for one in occurrences if wanted(channel.severity, one.severity)])
    return count


def put(session: Session, channel: NotificationChannel, occurrences: Sequence[Occurrence]) -> int:
    """Queue events for one channel as far as there is room."""
    if not occurrences:
        return 0
    waiting = session.scalar(
        select(func.count()).where(Notification.channel_id == channel.id, Notification.state == WAITING)
    )
    room = max(0, QUEUE_MAX - (waiting or 0))
    channel.dropped += max(0, len(occurrences) - room)
    at = now()
    for one in occurrences[:room]:
        # Numbers of rows come again in SQLite; what a receiver tells repetitions by must not.
        key = secrets.token_hex(16)
        event = {
            "id": key,
            "kind": one.kind,
            "severity": one.severity,
            "title": one.title[:TITLE_MAX],
            "at": one.at,
            "detail": one.detail,
        }
        session.add(
            Notification(
                organisation_id=channel.organisation_id,
                channel_id=channel.id,
                key=key,
                event=event,
                state=WAITING,
                created_at=at,
                next_at=at,
            )
        )
    return min(room, len(occurrences))
