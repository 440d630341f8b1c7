"""Time series of devices: names, charts, export; and sending points in by HTTP."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from kos.server.api.common import ERRORS, CanReadData, DeviceId, Own, View, device_of, devices_of
from kos.server.core.data import export, query
from kos.server.core.data.parquet import as_parquet
from kos.server.core.db.models import Device, now

router = APIRouter(prefix="/api/v1", tags=["data"], responses=ERRORS)

Time = Annotated[int, Query(ge=0, le=1 << 53)]
DAY = 24 * 3600 * 1000
DEVICES_MAX = 1000  # in one export
PARQUET = "application/vnd.apache.parquet"
TEXT = {200: {"content": {"text/csv": {}, "text/plain": {}, PARQUET: {}}}}


class ChartView(View):
    times: list[int]
    values: list[float]
    low: list[float]
    high: list[float]


@router.get("/devices/{device_id}/series")
def list_series(own: Own, principal: CanReadData, device_id: DeviceId) -> list[str]:
    """Names of the series that a device has sent."""
    with own.database.read() as session:
        device_of(session, principal, device_id)
        return query.series_of(session, device_id)


@router.get("/devices/{device_id}/points")
def points(
    own: Own,
    principal: CanReadData,
    device_id: DeviceId,
    series: Annotated[str, Query(min_length=1, max_length=128)],
    begin: Time = 0,
    end: Time = 0,
    most: Annotated[int, Query(ge=10, le=10_000)] = query.POINTS_SHOWN,
) -> ChartView:
    """One series as a chart: means with low and high where points were put together."""
    end = end or now()
    with own.database.read() as session:
        device_of(session, principal, device_id)
        found = query.chart(session, device_id, series, begin or max(0, end - DAY), end, most)
        return ChartView.model_validate(found)


@router.get("/devices/{device_id}/points.csv", response_class=StreamingResponse, responses=TEXT)
def points_csv(
    own: Own, principal: CanReadData, device_id: DeviceId, begin: Time = 0, end: Time = 0
) -> StreamingResponse:
    """Every point of one device as CSV."""
    with own.database.read() as session:
        device_of(session, principal, device_id)
    found = export.rows(own.database, [device_id], begin, end or 1 << 53)
    headers = {"Content-Disposition": f'attachment; filename="{device_id}.csv"'}
    return StreamingResponse(export.as_csv(found), media_type="text/csv", headers=headers)


@router.get("/export", response_class=StreamingResponse, responses=TEXT)
async def export_points(
    own: Own,
    principal: CanReadData,
    devices: Annotated[str, Query(max_length=512)] = "",
    form: Annotated[str, Query(pattern="^(csv|lines|parquet)$")] = "csv",
    begin: Time = 0,
    end: Time = 0,
) -> StreamingResponse:
    """Points of the devices that match a query, as CSV, line protocol or Parquet."""

    def chosen() -> list[str]:
        with own.database.read() as session:
            ids = devices_of(principal, devices).with_only_columns(Device.id).limit(DEVICES_MAX)
            return list(session.scalars(ids))

    found = export.rows(own.database, await asyncio.to_thread(chosen), begin, end or 1 << 53)
    if form == "csv":
        return StreamingResponse(export.as_csv(found), media_type="text/csv")
    if form == "parquet":
        headers = {"Content-Disposition": 'attachment; filename="points.parquet"'}
        return StreamingResponse(as_parquet(found), media_type=PARQUET, headers=headers)
    return StreamingResponse(export.as_lines(found), media_type="text/plain")
