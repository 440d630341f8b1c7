"""Where notifications go: channels of an organisation, a test of one, and the log of what was sent."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import func, select

from kos.server.api.alarms import Severity
from kos.server.api.common import (
    ERRORS,
    Body,
    CanManageAccess,
    Limit,
    Offset,
    Own,
    RowId,
    View,
    for_all,
    own_row,
)
from kos.server.core.auth import audit
from kos.server.core.db.models import Notification, NotificationChannel, now
from kos.server.core.notify.events import Occurrence, put
from kos.server.core.notify.kinds import KINDS
from kos.server.core.problems import Conflict

router = APIRouter(prefix="/api/v1/notifications", tags=["notifications"], responses=ERRORS)

CHANNELS_MAX = 20  # of one organisation


class ChannelBody(Body):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    kind: Literal["webhook", "email"]
    target: Annotated[str, Field(min_length=1, max_length=2048)]  # a URL, or e-mail addresses
    severity: Severity = "warning"


class ChannelChange(Body):
    name: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    severity: Severity | None = None
    enabled: bool | None = None


class ChannelView(View):
    id: int
    name: str
    kind: str
    severity: str
    shown: str
    enabled: bool
    created_by: str
    created_at: int
    sent_at: int | None
    error: str
    dropped: int


class NewChannel(ChannelView):
    secret: str | None  # to check a webhook's signature with; never shown again


class DeliveryView(View):
    id: int
    channel_id: int
    key: str
    kind: str
    severity: str
    title: str
    state: str
    attempts: int
    created_at: int
    ended_at: int | None
    error: str

    @classmethod
    def of(cls, row: Notification) -> DeliveryView:
        return cls(
            id=row.id,
            channel_id=row.channel_id,
            key=row.key,
            kind=row.event["kind"],
            severity=row.event["severity"],
            title=row.event["title"],
            state=row.state,
            attempts=row.attempts,
            created_at=row.created_at,
            ended_at=row.ended_at,
            error=row.error,
        )


@router.get("/channels")
def list_channels(own: Own, principal: CanManageAccess) -> list[ChannelView]:
    """Where notifications go."""
    with own.database.read() as session:
        mine = NotificationChannel.organisation_id == principal.organisation_id
        rows = session.scalars(select(NotificationChannel).where(mine).order_by(NotificationChannel.id))
        return [ChannelView.model_validate(row) for row in rows]


@router.post("/channels", status_code=201)
def create_channel(own: Own, principal: CanManageAccess, body: ChannelBody) -> NewChannel:
    """Add a channel. A webhook's secret is in this answer and in no other."""
    for_all(principal)
    prepared = KINDS[body.kind].prepare(own.office, body.target)
    with own.database.write() as session:
        mine = NotificationChannel.organisation_id == principal.organisation_id
        if (session.scalar(select(func.count()).where(mine)) or 0) >= CHANNELS_MAX:
            raise Conflict(f"an organisation has at most {CHANNELS_MAX} channels")
        row = NotificationChannel(
            organisation_id=principal.organisation_id,
            name=body.name,
            kind=body.kind,
            severity=body.severity,
            shown=prepared.shown,
            sealed=own.office.seal.close(prepared.sealed),
            created_by=principal.name,
            created_at=now(),
        )
        session.add(row)
        session.flush()
        audit.record(session, principal, "notification.create", body.name, to=prepared.shown)
        view = ChannelView.model_validate(row)
        return NewChannel(**view.model_dump(), secret=prepared.secret)


@router.patch("/channels/{channel_id}")
def change_channel(
    own: Own, principal: CanManageAccess, channel_id: RowId, body: ChannelChange
) -> ChannelView:
    """Rename it, filter otherwise, turn it off and on."""
    for_all(principal)
    changes = body.model_dump(exclude_none=True)
    with own.database.write() as session:
        row = own_row(session, principal, NotificationChannel, channel_id, "channel")
        for name, value in changes.items():
            setattr(row, name, value)
        audit.record(session, principal, "notification.change", row.name, **changes)
        return ChannelView.model_validate(row)


@router.delete("/channels/{channel_id}", status_code=204)
def delete_channel(own: Own, principal: CanManageAccess, channel_id: RowId) -> None:
    """Delete a channel with what waits for it."""
    for_all(principal)
    with own.database.write() as session:
        row = own_row(session, principal, NotificationChannel, channel_id, "channel")
        audit.record(session, principal, "notification.delete", row.name)
        session.delete(row)


@router.post("/channels/{channel_id}/test", status_code=202)
def try_channel(own: Own, principal: CanManageAccess, channel_id: RowId) -> DeliveryView:
    """Send a test the way that everything goes; the log of deliveries says what came of it."""
    for_all(principal)
    own.notify_limit.spend(str(principal.organisation_id))
    with own.database.write() as session:
        row = own_row(session, principal, NotificationChannel, channel_id, "channel")
        if not row.enabled:
            raise Conflict("the channel is turned off")
        title = f"test of {row.name}, asked for by {principal.name}"
        if not put(session, row, [Occurrence("test", row.severity, title, now())]):
            raise Conflict("the channel's queue is full")
        session.flush()
        audit.record(session, principal, "notification.test", row.name)
        newest = select(Notification).where(Notification.channel_id == row.id)
        made = session.scalars(newest.order_by(Notification.id.desc()).limit(1)).one()
        return DeliveryView.of(made)


@router.get("/deliveries")
def list_deliveries(
    own: Own, principal: CanManageAccess, limit: Limit = 100, offset: Offset = 0
) -> list[DeliveryView]:
    """What was sent, waits, or was given up; newest first."""
    with own.database.read() as session:
        mine = select(Notification).where(Notification.organisation_id == principal.organisation_id)
        rows = session.scalars(mine.order_by(Notification.id.desc()).limit(limit).offset(offset))
        return [DeliveryView.of(row) for row in rows]
