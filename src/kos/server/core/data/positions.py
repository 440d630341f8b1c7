"""Which records of devices' spools are new: each is taken once and in order, however late it comes again.

The bus forgets ids after a while; the database does not. What is decided here is written in the transaction
that stores the data (`save`), so that neither is ever there without the other.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kos.abi.record_mark import RecordMark
from kos.server.core.db.models import SpoolPosition

SPOOLS_MAX = 16  # of one device: it begins another only when it lost its count


class Positions:
    """How far some devices' spools have come."""

    def __init__(self, session: Session, devices: Iterable[str]) -> None:
        chosen = select(SpoolPosition).where(SpoolPosition.device_id.in_(set(devices)))
        self._rows = {(row.device_id, row.spool): row for row in session.scalars(chosen)}
        self._last = {key: row.last for key, row in self._rows.items()}
        self._at: dict[tuple[str, str], int] = {}

    def take(self, device: str, mark: RecordMark, received: int) -> bool:
        """Whether this record is to be stored now; False: it is there already, or comes again later."""
        key = (device, mark.spool)
        last = self._last.get(key, 0)
        if mark.number <= last or mark.after > last:
            return False
        self._last[key], self._at[key] = mark.number, received
        return True

    def save(self, session: Session) -> None:
        """Write down what was taken."""
        for key, at in self._at.items():
            row = self._rows.get(key)
            if row is None:
                self._make_room(session, key[0])
                row = SpoolPosition(device_id=key[0], spool=key[1], last=0, at=0)
                session.add(row)
                self._rows[key] = row
            row.last, row.at = self._last[key], at

    def _make_room(self, session: Session, device: str) -> None:
        own = sorted(
            (row.at, key) for key, row in self._rows.items() if key[0] == device and key not in self._at
        )
        count = sum(key[0] == device for key in self._rows)
        for _, key in own[: max(0, count - SPOOLS_MAX + 1)]:
            row = self._rows.pop(key)
            session.execute(
                delete(SpoolPosition).where(
                    SpoolPosition.device_id == row.device_id, SpoolPosition.spool == row.spool
                )
            )
