"""Reading time series: points of one series in a span, thinned where there are more than a chart can show."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kos.server.core.db.models import Point, Series

POINTS_SHOWN = 1000


@dataclass(frozen=True)
class Chart:
    """Times and values in order; `low` and `high` tell what thinning hid, and are empty without it."""

    times: list[int]
    values: list[float]
    low: list[float]
    high: list[float]


def series_of(session: Session, device: str) -> list[str]:
    """Names of a device's series."""
    return list(session.scalars(select(Series.name).where(Series.device_id == device).order_by(Series.name)))


def chart(session: Session, device: str, name: str, begin: int, end: int, most: int = POINTS_SHOWN) -> Chart:
    """The points of one series from `begin` to `end` (ms), at most about `most`."""
    number = session.scalar(select(Series.id).where(Series.device_id == device, Series.name == name))
    if number is None:
        return Chart([], [], [], [])
    here = (Point.series_id == number, Point.at >= begin, Point.at < end)
    total = session.scalar(select(func.count()).where(*here)) or 0
    if total <= most:
        rows = session.execute(select(Point.at, Point.value).where(*here).order_by(Point.at)).all()
        return Chart([row.at for row in rows], [row.value for row in rows], [], [])
    step = max(1, (end - begin) // most)
    slot = (Point.at - begin) // step
    grouped = (
        select(
            func.min(Point.at).label("at"),
            func.avg(Point.value).label("value"),
            func.min(Point.value).label("low"),
            func.max(Point.value).label("high"),
        )
        .where(*here)
        .group_by(slot)
        .order_by("at")
    )
    rows = session.execute(grouped).all()
    return Chart(
        [row.at for row in rows],
        [row.value for row in rows],
        [row.low for row in rows],
        [row.high for row in rows],
    )
