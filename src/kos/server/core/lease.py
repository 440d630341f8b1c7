"""One process at a time: a row that says who does a job and until when. Safe across machines."""

from __future__ import annotations

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from kos.server.core.db.database import Database
from kos.server.core.db.models import Lease, now

LIFE = 8_000  # ms; a holder that dies is replaced after at most this long
RENEW = 2.0  # seconds


def acquire(database: Database, name: str, holder: str) -> bool:
    """Take or keep the lease; False while another holder's has not run out."""
    with database.write() as session:
        at = _clock(session)
        row = session.scalar(select(Lease).where(Lease.name == name).with_for_update())
        if row is None:
            # Two that find no row both insert; the second one's transaction fails and it tries again.
            session.add(Lease(name=name, holder=holder, expires_at=at + LIFE))
            return True
        # What reaches further than any lease can was written before the clock was put back.
        if row.holder != holder and at < row.expires_at <= at + 2 * LIFE:
            return False
        row.holder, row.expires_at = holder, at + LIFE
        return True


def release(database: Database, name: str, holder: str) -> None:
    """Give the lease back early, so that another process need not wait."""
    with database.write() as session:
        session.execute(update(Lease).where(Lease.name == name, Lease.holder == holder).values(expires_at=0))


def _clock(session: Session) -> int:
    """The time that all processes share: PostgreSQL's own, for clocks of two machines differ."""
    if session.get_bind().dialect.name != "postgresql":
        return now()
    return int(session.scalar(text("SELECT extract(epoch FROM clock_timestamp()) * 1000")) or 0)
