"""Data of all devices: where to look and how to take it along; alarms and their rules."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import func, select

from kos.server.api.common import CanReadData, Own, count, devices_of
from kos.server.core.db.models import Alarm, AlarmRule, Device, RetentionRule, Series
from kos.server.web.render import page

router = APIRouter()

SHOWN = 200
CHARTS = 12  # devices whose charts of one series are on the page


@router.get("/data", response_class=HTMLResponse)
def data_page(
    request: Request,
    own: Own,
    principal: CanReadData,
    series: Annotated[str, Query(max_length=128)] = "",
) -> HTMLResponse:
    """Series by name, with how many devices send them, and charts of one: at first one that an app sends."""
    with own.database.read() as session:
        mine = devices_of(principal).with_only_columns(Device.id)
        chosen = (
            select(Series.name, func.count())
            .where(Series.device_id.in_(mine))
            .group_by(Series.name)
            .order_by(Series.name.startswith("device/"), Series.name)
        )
        names = session.execute(chosen.limit(SHOWN)).all()
        shown = series or (names[0].name if names else "")
        senders = (
            select(Device.id, Device.name)
            .join(Series, Series.device_id == Device.id)
            .where(Device.id.in_(mine), Series.name == shown)
            .order_by(Device.name, Device.id)
        )
        rules = select(RetentionRule).where(RetentionRule.organisation_id == principal.organisation_id)
        return page(
            request,
            "data.html",
            principal,
            series=names,
            shown=shown,
            senders=session.execute(senders.limit(CHARTS)).all(),
            sending=count(session, senders),
            rules=session.scalars(rules.order_by(RetentionRule.pattern)).all(),
            days_max=own.settings.retention_days,
        )


@router.get("/alarms", response_class=HTMLResponse)
def alarms_page(request: Request, own: Own, principal: CanReadData) -> HTMLResponse:
    """Alarms, open ones first, and the rules."""
    with own.database.read() as session:
        mine = devices_of(principal).with_only_columns(Device.id)
        alarms = (
            select(Alarm, AlarmRule, Device.name)
            .join(AlarmRule, AlarmRule.id == Alarm.rule_id)
            .join(Device, Device.id == Alarm.device_id)
            .where(Alarm.device_id.in_(mine))
            .order_by(Alarm.cleared_at.is_not(None), Alarm.id.desc())
        )
        rules = select(AlarmRule).where(AlarmRule.organisation_id == principal.organisation_id)
        return page(
            request,
            "alarms.html",
            principal,
            alarms=session.execute(alarms.limit(SHOWN)).all(),
            rules=session.scalars(rules.order_by(AlarmRule.id)).all(),
        )
