"""Device groups: named queries, used as targets of rollouts and as scopes of roles."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import select

from kos.server.api.common import (
    ERRORS,
    Body,
    CanManageDevices,
    CanReadDevices,
    Own,
    RowId,
    View,
    for_all,
    own_row,
)
from kos.server.core.auth import audit
from kos.server.core.db.models import Device, DeviceGroup, Overlay
from kos.server.core.devices.desired import set_overlay
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
    overlay_id: int | None


class GroupOverlay(Body):
    overlay_id: Annotated[int, Field(ge=1, le=1 << 53)] | None


@router.get("/groups")
def list_groups(own: Own, principal: CanReadDevices) -> list[GroupView]:
    """Named queries over devices."""
    with own.database.read() as session:
        chosen = select(DeviceGroup).where(DeviceGroup.organisation_id == principal.organisation_id)
        return [GroupView.model_validate(row) for row in session.scalars(chosen.order_by(DeviceGroup.name))]


@router.post("/groups", status_code=201)
def create_group(own: Own, principal: CanManageDevices, body: GroupBody) -> GroupView:
    """Name a query."""
    for_all(principal)
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


@router.put("/groups/{group_id}/overlay")
def set_group_overlay(
    own: Own, principal: CanManageDevices, group_id: RowId, body: GroupOverlay
) -> GroupView:
    """Lay an overlay over the release of each device that matches, now and later; null takes it away.

    A device that was given an overlay of its own keeps it.
    """
    for_all(principal)
    with own.database.write() as session:
        row = own_row(session, principal, DeviceGroup, group_id, "group")
        if body.overlay_id is not None:
            own_row(session, principal, Overlay, body.overlay_id, "overlay")
        row.overlay_id = body.overlay_id
        audit.record(session, principal, "group.overlay", row.name, overlay=body.overlay_id)
        return GroupView.model_validate(row)


@router.delete("/groups/{group_id}", status_code=204)
def delete_group(own: Own, principal: CanManageDevices, group_id: RowId) -> None:
    """Forget a named query. Roles that were limited to it end with it."""
    for_all(principal)
    with own.database.write() as session:
        row = own_row(session, principal, DeviceGroup, group_id, "group")
        for device in session.scalars(select(Device).where(Device.overlay_group_id == row.id)):
            set_overlay(session, device, None, own.blobs)
        audit.record(session, principal, "group.delete", row.name)
        session.delete(row)
