"""How long an organisation keeps which streams; never longer than the server keeps anything."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import func, select

from kos.abi.errors import KosError
from kos.server.api.common import (
    ERRORS,
    Body,
    CanManageAccess,
    CanReadData,
    Own,
    RowId,
    View,
    for_all,
    own_row,
)
from kos.server.core.auth import audit
from kos.server.core.data.retention import RULES_MAX, check_pattern
from kos.server.core.db.models import RetentionRule
from kos.server.core.problems import Conflict

router = APIRouter(prefix="/api/v1", tags=["data"], responses=ERRORS)


class RetentionBody(Body):
    pattern: Annotated[str, Field(min_length=1, max_length=128)]
    days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]


class RetentionView(View):
    id: int
    pattern: str
    days: float


class Retention(View):
    days_max: float  # the server's: what no rule matches is kept so long
    rules: list[RetentionView]


@router.get("/retention")
def list_retention(own: Own, principal: CanReadData) -> Retention:
    """The rules, and the server's maximum."""
    with own.database.read() as session:
        mine = select(RetentionRule).where(RetentionRule.organisation_id == principal.organisation_id)
        rules = [
            RetentionView.model_validate(row) for row in session.scalars(mine.order_by(RetentionRule.pattern))
        ]
    return Retention(days_max=own.settings.retention_days, rules=rules)


@router.put("/retention")
def set_retention(own: Own, principal: CanManageAccess, body: RetentionBody) -> RetentionView:
    """Keep the streams of a pattern for so many days. A rule of the same pattern is replaced."""
    for_all(principal)
    check_pattern(body.pattern)
    most = own.settings.retention_days
    if body.days > most:
        raise KosError(
            f"this server keeps data for {most:g} days at most", hint="its operator sets RETENTION_DAYS"
        )
    with own.database.write() as session:
        own.database.only_one(session)  # two that find no rule would both add one
        mine = select(RetentionRule).where(RetentionRule.organisation_id == principal.organisation_id)
        row = session.scalar(mine.where(RetentionRule.pattern == body.pattern))
        if row is None:
            if (session.scalar(select(func.count()).select_from(mine.subquery())) or 0) >= RULES_MAX:
                raise Conflict(f"an organisation has at most {RULES_MAX} rules")
            row = RetentionRule(organisation_id=principal.organisation_id, pattern=body.pattern)
            session.add(row)
        row.days = body.days
        session.flush()
        audit.record(session, principal, "retention.set", body.pattern, days=body.days)
        return RetentionView.model_validate(row)


@router.delete("/retention/{rule_id}", status_code=204)
def delete_retention(own: Own, principal: CanManageAccess, rule_id: RowId) -> None:
    """Keep the streams of a pattern as long as the server keeps everything."""
    for_all(principal)
    with own.database.write() as session:
        row = own_row(session, principal, RetentionRule, rule_id, "rule")
        audit.record(session, principal, "retention.delete", row.pattern)
        session.delete(row)
