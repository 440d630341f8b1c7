"""Where notifications go, and what came of them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select

from kos.server.api.common import CanManageAccess, Own
from kos.server.core.db.models import Notification, NotificationChannel
from kos.server.core.notify.events import SEVERITIES
from kos.server.web.render import page

router = APIRouter()

SHOWN = 100


@router.get("/notifications", response_class=HTMLResponse)
def notifications_page(request: Request, own: Own, principal: CanManageAccess) -> HTMLResponse:
    """Channels, and the newest deliveries."""
    with own.database.read() as session:
        here = principal.organisation_id
        channels = select(NotificationChannel).where(NotificationChannel.organisation_id == here)
        deliveries = (
            select(Notification, NotificationChannel.name)
            .join(NotificationChannel, NotificationChannel.id == Notification.channel_id)
            .where(Notification.organisation_id == here)
            .order_by(Notification.id.desc())
        )
        return page(
            request,
            "notifications.html",
            principal,
            channels=session.scalars(channels.order_by(NotificationChannel.id)).all(),
            deliveries=session.execute(deliveries.limit(SHOWN)).all(),
            severities=SEVERITIES,
            mail=own.office.mail is not None,
        )
