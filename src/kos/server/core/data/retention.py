"""Old data goes: points and console lines by age, console lines by number, small deletions at a time."""

from __future__ import annotations

import asyncio

from sqlalchemy import delete, func, select

from kos.server.core.db.database import Database
from kos.server.core.db.models import DeviceEvent, LogLine, Point, now
from kos.server.settings import Settings

EVERY = 600.0  # seconds
DAY = 24 * 3600 * 1000  # ms
AT_ONCE = 20_000  # rows in one transaction, so that ingest never waits long


async def retain(settings: Settings, database: Database) -> None:
    """Until cancelled."""
    while True:
        while await asyncio.to_thread(sweep, settings, database):
            await asyncio.sleep(0.1)
        await asyncio.sleep(EVERY)


def sweep(settings: Settings, database: Database) -> bool:
    """Delete some of what is too old; True when there is more."""
    oldest = now() - int(settings.retention_days * DAY)
    more = False
    with database.write() as session:
        newest_line = session.scalar(select(func.max(LogLine.id))) or 0
        for table, condition in (
            (Point, Point.at < oldest),
            (LogLine, (LogLine.at < oldest) | (LogLine.id <= newest_line - settings.log_lines_max)),
            (DeviceEvent, DeviceEvent.at < oldest),
        ):
            chosen = select(table.id).where(condition).limit(AT_ONCE)
            removed = session.execute(delete(table).where(table.id.in_(chosen))).rowcount
            more = more or removed >= AT_ONCE
    return more
