"""Alarms and the rules that raise them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import select

from kos.abi.errors import KosError
from kos.server.api.common import (
    ERRORS,
    Body,
    CanReadData,
    CanWriteAlarms,
    Limit,
    Offset,
    Own,
    RowId,
    View,
    devices_of,
    own_row,
)
from kos.server.core.auth import audit
from kos.server.core.db.models import Alarm, AlarmRule, Device
from kos.server.core.devices.query import parse

router = APIRouter(prefix="/api/v1", tags=["alarms"], responses=ERRORS)

Severity = Literal["info", "warning", "critical"]
Value = Annotated[float, Field(allow_inf_nan=False)]


class RuleBody(Body):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    series: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-/]{1,96}$")]
    above: bool = True
    raise_at: Value
    clear_at: Value
    hold: Annotated[float, Field(ge=0, le=1e7)] = 0
    target: Annotated[str, Field(max_length=512)] = ""
    severity: Severity = "warning"


class RuleView(View):
    id: int
    name: str
    series: str
    above: bool
    raise_at: float
    clear_at: float
    hold: float
    target: str
    severity: str


class AlarmView(View):
    id: int
    rule_id: int
    rule: str
    device_id: str
    raised_at: int
    cleared_at: int | None
    value: float


@router.get("/alarms")
def list_alarms(
    own: Own,
    principal: CanReadData,
    open_only: Annotated[bool, Query()] = True,
    limit: Limit = 100,
    offset: Offset = 0,
) -> list[AlarmView]:
    """Alarms, newest first."""
    with own.database.read() as session:
        mine = devices_of(principal).with_only_columns(Device.id)
        chosen = (
            select(Alarm, AlarmRule.name)
            .join(AlarmRule, AlarmRule.id == Alarm.rule_id)
            .where(Alarm.device_id.in_(mine), AlarmRule.organisation_id == principal.organisation_id)
        )
        if open_only:
            chosen = chosen.where(Alarm.cleared_at.is_(None))
        rows = session.execute(chosen.order_by(Alarm.id.desc()).limit(limit).offset(offset))
        return [
            AlarmView(
                id=alarm.id,
                rule_id=alarm.rule_id,
                rule=name,
                device_id=alarm.device_id,
                raised_at=alarm.raised_at,
                cleared_at=alarm.cleared_at,
                value=alarm.value,
            )
            for alarm, name in rows
        ]


@router.get("/alarm-rules")
def list_rules(own: Own, principal: CanReadData) -> list[RuleView]:
    """All rules."""
    with own.database.read() as session:
        chosen = select(AlarmRule).where(AlarmRule.organisation_id == principal.organisation_id)
        return [RuleView.model_validate(row) for row in session.scalars(chosen.order_by(AlarmRule.id))]


@router.post("/alarm-rules", status_code=201)
def create_rule(own: Own, principal: CanWriteAlarms, body: RuleBody) -> RuleView:
    """Watch a series. The gap between the two thresholds keeps an alarm from flapping."""
    parse(body.target)
    if (body.clear_at > body.raise_at) if body.above else (body.clear_at < body.raise_at):
        raise KosError(
            "clear_at must not be past raise_at", hint="below it when above is true, else above it"
        )
    with own.database.write() as session:
        row = AlarmRule(organisation_id=principal.organisation_id, **body.model_dump())
        session.add(row)
        session.flush()
        audit.record(session, principal, "alarm_rule.create", body.name)
        return RuleView.model_validate(row)


@router.delete("/alarm-rules/{rule_id}", status_code=204)
def delete_rule(own: Own, principal: CanWriteAlarms, rule_id: RowId) -> None:
    """Delete a rule and its alarms."""
    with own.database.write() as session:
        row = own_row(session, principal, AlarmRule, rule_id, "alarm rule")
        audit.record(session, principal, "alarm_rule.delete", row.name)
        session.delete(row)
