"""What the routers share: paging, looking a device up within one's own organisation and scope."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from kos.server.core.auth.guard import need, services
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import Device
from kos.server.core.devices.query import matching
from kos.server.core.problems import Forbidden, NotFound, documented
from kos.server.core.services import Services

PAGE_MAX = 500
ERRORS = documented(400, 401, 403, 404, 409, 413, 422, 429, 503)

Own = Annotated[Services, Depends(services)]
DeviceId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
RowId = Annotated[int, Path(ge=1, le=1 << 53)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Offset = Annotated[int, Query(ge=0, le=1 << 31)]

CanReadDevices = Annotated[Principal, Depends(need("devices.read"))]
CanManageDevices = Annotated[Principal, Depends(need("devices.manage"))]
CanOperateDevices = Annotated[Principal, Depends(need("devices.operate"))]
CanReadReleases = Annotated[Principal, Depends(need("releases.read"))]
CanWriteReleases = Annotated[Principal, Depends(need("releases.write"))]
CanReadRollouts = Annotated[Principal, Depends(need("rollouts.read"))]
CanWriteRollouts = Annotated[Principal, Depends(need("rollouts.write"))]
CanReadData = Annotated[Principal, Depends(need("data.read"))]
CanWriteAlarms = Annotated[Principal, Depends(need("alarms.write"))]
CanManageAccess = Annotated[Principal, Depends(need("access.manage"))]
CanReadAudit = Annotated[Principal, Depends(need("audit.read"))]


class Body(BaseModel):
    """Root of request bodies: what is not known is an error, as in a manifest."""

    model_config = ConfigDict(extra="forbid")


class View(BaseModel):
    """Root of answers made from rows."""

    model_config = ConfigDict(from_attributes=True)


def devices_of(principal: Principal, query: str = "") -> Select[tuple[Device]]:
    """The devices that a principal may see, narrowed by a query."""
    return matching(principal.organisation_id, principal.device_query, query)


def device_of(session: Session, principal: Principal, device_id: str) -> Device:
    """One device of the principal's own. Another organisation's is "not found", as one that never was."""
    device = session.scalar(devices_of(principal).where(Device.id == device_id))
    if device is None:
        raise NotFound("no such device")
    return device


def own_row(session: Session, principal: Principal, table: type[Any], row_id: int, what: str) -> Any:
    """One row of a table with `organisation_id`. Raises NotFound for another organisation's."""
    row = session.get(table, row_id)
    if row is None or row.organisation_id != principal.organisation_id:
        raise NotFound(f"no such {what}")
    return row


def for_all(principal: Principal) -> None:
    """For what decides about more devices than a person sees whose role is limited to a group."""
    if principal.device_query:
        raise Forbidden("your role is limited to a group", hint="ask somebody whose role is not")


def count(session: Session, chosen: Select[Any]) -> int:
    return session.scalar(select(func.count()).select_from(chosen.order_by(None).subquery())) or 0
