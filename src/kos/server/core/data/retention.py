"""Old data goes: by age, as its organisation says and never later than the server says; console lines by
number too. Small deletions at a time.

What an organisation says are rules for stream names: of those that match, the one with the longest pattern
counts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, DeviceEvent, LogLine, Point, RetentionRule, Series, now
from kos.server.core.notify.sender import forget_old
from kos.server.settings import Settings

EVERY = 600.0  # seconds
DAY = 24 * 3600 * 1000  # ms
AT_ONCE = 20_000  # rows in one transaction, so that ingest never waits long
NAMES_AT_ONCE = 200  # series in one question
RULES_MAX = 50  # of one organisation
CONSOLE = "@console"  # the stream of console lines, for patterns
EVENTS = "@events"
PATTERN = re.compile(r"(?:[A-Za-z0-9_.\-/*]{1,128}|@console|@events)")

Deletion = tuple[type[Point] | type[LogLine] | type[DeviceEvent], ColumnElement[bool]]


def check_pattern(text: str) -> str:
    """Raises KosError."""
    if not PATTERN.fullmatch(text):
        raise KosError(
            f"not a pattern of stream names: {text[:80]!r}",
            hint=f"the name of a series with * for any part, {CONSOLE}, or {EVENTS}",
        )
    return text


def rule_for(rules: Iterable[tuple[str, float]], name: str) -> float | None:
    """The days of the rule that counts for a stream; None where no pattern matches."""
    fitting = [(len(pattern), pattern, days) for pattern, days in rules if _matches(pattern, name)]
    return max(fitting)[2] if fitting else None


def _matches(pattern: str, name: str) -> bool:
    # Not a regular expression: one with many stars takes for ever on a name that nearly fits.
    first, *parts = pattern.split("*")
    if not parts:
        return pattern == name
    if not name.startswith(first) or len(name) < len(first) + len(parts[-1]) or not name.endswith(parts[-1]):
        return False
    at, end = len(first), len(name) - len(parts[-1])
    for part in parts[:-1]:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


async def retain(settings: Settings, database: Database) -> None:
    """Until cancelled."""
    while True:
        while await asyncio.to_thread(sweep, settings, database):
            await asyncio.sleep(0.1)
        await asyncio.sleep(EVERY)


def sweep(settings: Settings, database: Database) -> bool:
    """Delete some of what is too old; True when there is more."""
    more = False
    with database.read() as session:
        wanted = [*_by_server(session, settings), *_by_organisation(session, settings)]
    for table, condition in wanted:
        # One transaction each: ingest takes its turn between two.
        with database.write() as session:
            chosen = select(table.id).where(condition).limit(AT_ONCE)
            removed = session.execute(delete(table).where(table.id.in_(chosen))).rowcount
            more = more or removed >= AT_ONCE
    with database.write() as session:
        forget_old(session)
    return more


def _by_server(session: Session, settings: Settings) -> list[Deletion]:
    oldest = now() - int(settings.retention_days * DAY)
    newest_line = session.scalar(select(func.max(LogLine.id))) or 0
    return [
        (Point, Point.at < oldest),
        (LogLine, (LogLine.at < oldest) | (LogLine.id <= newest_line - settings.log_lines_max)),
        (DeviceEvent, DeviceEvent.at < oldest),
    ]


def _by_organisation(session: Session, settings: Settings) -> list[Deletion]:
    """What goes earlier than the server says."""
    rules: dict[int, list[tuple[str, float]]] = {}
    for row in session.scalars(select(RetentionRule)):
        rules.setdefault(row.organisation_id, []).append((row.pattern, row.days))
    found: list[Deletion] = []
    for organisation, own in rules.items():

        def days(name: str, own: list[tuple[str, float]] = own) -> float | None:
            chosen = rule_for(own, name)
            return chosen if chosen is not None and chosen < settings.retention_days else None

        found += _of_organisation(session, organisation, days)
    return found


def _of_organisation(
    session: Session, organisation: int, days: Callable[[str], float | None]
) -> list[Deletion]:
    mine = select(Device.id).where(Device.organisation_id == organisation)
    at = now()
    found: list[Deletion] = []
    for table, stream in ((LogLine, CONSOLE), (DeviceEvent, EVENTS)):
        if (kept := days(stream)) is not None:
            found.append((table, table.device_id.in_(mine) & (table.at < at - int(kept * DAY))))
    names: dict[float, list[str]] = {}
    for name in session.scalars(select(Series.name).where(Series.device_id.in_(mine)).distinct()):
        if (kept := days(name)) is not None:
            names.setdefault(kept, []).append(name)
    for kept, those in sorted(names.items()):
        for start in range(0, len(those), NAMES_AT_ONCE):
            series = select(Series.id).where(
                Series.device_id.in_(mine), Series.name.in_(those[start : start + NAMES_AT_ONCE])
            )
            found.append((Point, Point.series_id.in_(series) & (Point.at < at - int(kept * DAY))))
    return found
