"""The first page: all devices, how they are, and those that wait for a decision."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import func, select

from kos.abi.errors import KosError
from kos.server.api.common import CanReadDevices, Own, count, devices_of
from kos.server.core.db.models import Alarm, Device
from kos.server.core.devices.identity import ACCEPTED, PENDING
from kos.server.web.render import page

router = APIRouter()

PAGE = 50


@router.get("/", response_class=HTMLResponse)
def devices_page(
    request: Request,
    own: Own,
    principal: CanReadDevices,
    query: Annotated[str, Query(max_length=512)] = "",
    offset: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
) -> HTMLResponse:
    """List, search, numbers."""
    mistake = ""
    with own.database.read() as session:
        try:
            chosen = devices_of(principal, query)
        except KosError as error:
            mistake, chosen = error.message, devices_of(principal, "id:none")
        everything = devices_of(principal).subquery()
        numbers = dict(
            session.execute(select(everything.c.status, func.count()).group_by(everything.c.status)).all()
        )
        online = session.scalar(
            select(func.count()).where(everything.c.online, everything.c.status == ACCEPTED)
        )
        unhealthy = session.scalar(
            select(func.count()).where(
                everything.c.online, everything.c.healthy.is_(False), everything.c.status == ACCEPTED
            )
        )
        alarms = session.scalar(
            select(func.count(Alarm.id)).where(
                Alarm.cleared_at.is_(None), Alarm.device_id.in_(select(everything.c.id))
            )
        )
        rows = session.scalars(
            chosen.order_by(Device.status != PENDING, Device.name, Device.id).limit(PAGE).offset(offset)
        ).all()
        return page(
            request,
            "devices.html",
            principal,
            devices=rows,
            total=count(session, chosen),
            query=query,
            mistake=mistake,
            offset=offset,
            page_size=PAGE,
            accepted=numbers.get(ACCEPTED, 0),
            pending=numbers.get(PENDING, 0),
            online=online or 0,
            unhealthy=unhealthy or 0,
            alarms=alarms or 0,
        )
