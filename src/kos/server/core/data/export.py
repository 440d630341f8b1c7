"""Points as text for other programs: CSV and InfluxDB's line protocol, streamed whatever their number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from sqlalchemy import select

from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, Point, Series

AT_ONCE = 5000  # rows


def rows(
    database: Database, devices: list[str], begin: int, end: int
) -> Iterator[tuple[str, str, str, int, float]]:
    """Device id, device name, series, time (ms), value: series by series, each in order of time."""
    with database.read() as session:
        chosen = (
            select(Device.id, Device.name, Series.name, Point.at, Point.value)
            .join(Series, Series.id == Point.series_id)
            .join(Device, Device.id == Series.device_id)
            .where(Device.id.in_(devices), Point.at >= begin, Point.at < end)
            .order_by(Point.series_id, Point.at)
            .execution_options(yield_per=AT_ONCE)
        )
        for row in session.execute(chosen):
            yield row[0], row[1], row[2], row[3], row[4]


def as_csv(found: Iterator[tuple[str, str, str, int, float]]) -> Iterator[str]:
    """`device,name,series,time,value`; names that a spreadsheet would take for a formula are quoted off."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("device", "name", "series", "time_ms", "value"))
    for device, name, series, at, value in found:
        writer.writerow((device, _harmless(name), series, at, repr(value)))
        if out.tell() > 64 * 1024:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def as_lines(found: Iterator[tuple[str, str, str, int, float]]) -> Iterator[str]:
    """`kos,device=ID,series=NAME value=V TIME` with nanoseconds."""
    batch: list[str] = []
    for device, _, series, at, value in found:
        batch.append(f"kos,device={device},series={series} value={value!r} {at}000000\n")
        if len(batch) >= 1000:
            yield "".join(batch)
            batch.clear()
    yield "".join(batch)


def _harmless(text: str) -> str:
    return "'" + text if text[:1] in "=+-@\t\r" else text
