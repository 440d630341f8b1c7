"""Points of time series into the database, many at a time; and when they were measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from kos.abi.reader import SERIES
from kos.abi.session import Telemetry
from kos.server.core.db.models import Point, Series

FUTURE_MAX = 24 * 3600 * 1000  # ms that a device's clock may be ahead of ours
SERIES_PER_DEVICE_MAX = 1000
SERIES_CACHED_MAX = 500_000
NUMBER_BYTES_MAX = 64  # of a number in text

Row = tuple[str, str, int, float]  # device, series, time, value


def corrected(document: Telemetry, received: int) -> list[tuple[str, int, float]]:
    """Points with times of our clock: a device without a clock tells ages, which we subtract."""
    if document.clock and document.sent <= received + FUTURE_MAX:
        return [(name, min(at, received + FUTURE_MAX), value) for name, at, value in document.points]
    return [(name, received - max(0, document.sent - at), value) for name, at, value in document.points]


def measured(topic: str, payload: bytes, at: int) -> list[tuple[str, int, float]]:
    """The point that an app's message is: a number under its topic. What is no number is not kept here.

    Args:
        topic: the app and its topic, with dots.
        payload: as the app published it.
        at: milliseconds since 1970.
    """
    name = topic.replace(".", "/")
    try:
        value = float(payload) if len(payload) <= NUMBER_BYTES_MAX else math.nan
    except ValueError:
        return []
    return [(name, at, value)] if math.isfinite(value) and SERIES.fullmatch(name) else []


class PointWriter:
    """Keeps the numbers of series in memory; only the process that ingests has one."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}
        self.refused = 0  # points of devices that have too many series

    def write(self, session: Session, rows: Iterable[Row]) -> int:
        """Insert points; says how many."""
        rows = list(rows)
        self._learn(session, {(device, series) for device, series, _, _ in rows})
        values = [
            {"series_id": number, "at": at, "value": value}
            for device, series, at, value in rows
            if (number := self._numbers.get((device, series))) is not None
        ]
        self.refused += len(rows) - len(values)
        if values:
            insert_points(session, values)
        return len(values)

    def forget(self) -> None:
        """After a transaction that failed, what was learnt in it is not so."""
        self._numbers.clear()
        self._counts.clear()

    def _learn(self, session: Session, wanted: set[tuple[str, str]]) -> None:
        missing = {key for key in wanted if key not in self._numbers}
        if not missing:
            return
        if len(self._numbers) > SERIES_CACHED_MAX:
            self.forget()
            missing = wanted
        devices = sorted({device for device, _ in missing})
        for start in range(0, len(devices), 500):
            chosen = select(Series.device_id, Series.name, Series.id).where(
                Series.device_id.in_(devices[start : start + 500])
            )
            for device, name, number in session.execute(chosen):
                if (device, name) not in self._numbers:
                    self._counts[device] = self._counts.get(device, 0) + 1
                self._numbers[device, name] = number
        fresh = []
        for device, name in sorted(missing):
            if (device, name) in self._numbers or self._counts.get(device, 0) >= SERIES_PER_DEVICE_MAX:
                continue
            self._counts[device] = self._counts.get(device, 0) + 1
            fresh.append({"device_id": device, "name": name})
        if fresh:
            made = session.execute(insert(Series).returning(Series.id, Series.device_id, Series.name), fresh)
            for number, device, name in made:
                self._numbers[device, name] = number


def insert_points(session: Session, values: list[dict[str, Any]]) -> None:
    """The fastest way into each database: COPY into PostgreSQL, one prepared statement for SQLite."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        with connection.connection.cursor() as cursor:
            with cursor.copy("COPY point (series_id, at, value) FROM STDIN") as copy:
                for one in values:
                    copy.write_row((one["series_id"], one["at"], one["value"]))
    else:
        connection.exec_driver_sql(
            "INSERT INTO point (series_id, at, value) VALUES (?, ?, ?)",
            [(one["series_id"], one["at"], one["value"]) for one in values],
        )


__all__ = ["Point", "PointWriter", "corrected", "insert_points", "measured"]
