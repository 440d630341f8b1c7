"""How far the database is in the bus' stream, and whether that stream is still the one it was.

The bus' data may be wiped, lost or restored while the database is kept. A sequence then means nothing, or
another message: whoever went by it alone would wait for what never comes, and pass over what does.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.server.core.bus.client import STREAM, Bus, StreamFacts
from kos.server.core.db.database import Database
from kos.server.core.db.models import IngestOffset

log = logging.getLogger(__name__)


class AnotherStream(Exception):
    """What was read does not come from the stream that the database is in by now."""


@dataclass(frozen=True)
class Progress:
    """The last sequence in the database, and when its stream was made: "" is not known."""

    sequence: int = 0
    made: str = ""


def progress(database: Database) -> Progress:
    with database.read() as session:
        row = session.get(IngestOffset, STREAM)
        return Progress(row.sequence, row.made) if row else Progress()


def row_to_move(session: Session) -> IngestOffset:
    """The row, locked; made where there is none."""
    row = session.scalar(select(IngestOffset).where(IngestOffset.stream == STREAM).with_for_update())
    if row is None:
        row = IngestOffset(stream=STREAM, sequence=0, made="")
        session.add(row)
    return row


def resumed(seen: Progress, facts: StreamFacts) -> Progress:
    """Where to go on in a stream of which these are the facts. Pure."""
    if seen.made not in ("", facts.made):
        return Progress(0, facts.made)
    return Progress(min(seen.sequence, facts.last), facts.made)


async def resume(database: Database, bus: Bus) -> tuple[Progress, StreamFacts]:
    """Begin to read: what the database says, put right where the stream is another one or has lost its end.

    Nothing is stored twice by that: a message of another stream is another message, and a record that a
    device sends again is known by its number.
    """
    while True:
        # In this order: another process may be at work, and of one stream only a lost end is behind us.
        seen = await asyncio.to_thread(progress, database)
        facts = await bus.stream_facts(STREAM)
        wanted = resumed(seen, facts)
        if wanted == seen or await asyncio.to_thread(_move, database, seen, wanted):
            if wanted.sequence < seen.sequence:
                log.warning(
                    "the bus has another stream, or one that lost its end: going on after %s instead of %s",
                    wanted.sequence,
                    seen.sequence,
                )
            return wanted, facts


def _move(database: Database, seen: Progress, wanted: Progress) -> bool:
    """Write it down, unless somebody else was faster."""
    with database.write() as session:
        row = row_to_move(session)
        if Progress(row.sequence, row.made) != seen:
            return False
        row.sequence, row.made = wanted.sequence, wanted.made
        return True
