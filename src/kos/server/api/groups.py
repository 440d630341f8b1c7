"""Device groups: named queries, used as targets of rollouts and as scopes of roles."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import select

from kos.server.api.common import ERRORS, Body, CanManageDevices, CanReadDevices, Own, RowId, View, own_row
from kos.server.core.auth import audit
from kos.server.core.db.models import DeviceGroup
from kos.server.core.devices.query import parse
from kos.server.core.problems import Conflict

router = APIRouter(prefix="/api/v1", tags=["devices"], responses=ERRORS)


class GroupBody(Body):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    query: Annotated[str, Field(max_length=512)]


class GroupView(View):
    id: int
    name: str
    query: str


@router.get("/groups")
def list_groups(own: Own, principal: CanReadDevices) -> list[GroupView]:
    """Named queries over devices."""
    with own.database.read() as session:
        chosen = select(DeviceGroup).where(DeviceGroup.organisation_id == principal.organisation_id)
        return [GroupView.model_validate(row) for row in session.scalars(chosen.order_by(DeviceGroup.name))]


@router.post("/groups", status_code=201)
def create_group(own: Own, principal: CanManageDevices, body: GroupBody) -> GroupView:
    """Name a query."""
    parse(body.query)
    with own.database.write() as session:
        taken = select(DeviceGroup).where(
            DeviceGroup.organisation_id == principal.organisation_id, DeviceGroup.name == body.name
        )
        if session.scalar(taken):
            raise Conflict("there is a group of this name")
        row = DeviceGroup(organisation_id=principal.organisation_id, name=body.name, query=body.query)
        session.add(row)
        session.flush()
        audit.record(session, principal, "group.create", body.name, query=body.query)
        return GroupView.model_validate(row)


@router.delete("/groups/{group_id}", status_code=204)
def delete_group(own: Own, principal: CanManageDevices, group_id: RowId) -> None:
    """Forget a named query. Roles that were limited to it end with it."""
    with own.database.write() as session:
        row = own_row(session, principal, DeviceGroup, group_id, "group")
        audit.record(session, principal, "group.delete", row.name)
        session.delete(row)
