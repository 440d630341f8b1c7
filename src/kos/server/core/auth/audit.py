"""The audit log: append-only, each entry sealed together with the one before, so that a gap shows."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import AuditEntry, now

FIRST_SEAL = "0" * 64
SEAL_LOCK = 7532  # the number of our lock in PostgreSQL


def record(
    session: Session,
    principal: Principal | None,
    action: str,
    target: str = "",
    /,
    *,
    organisation_id: int | None = None,
    **detail: Any,
) -> None:
    """Add one entry, in the transaction of the change itself. No principal: the server itself did it."""
    organisation = principal.organisation_id if principal else organisation_id
    if session.get_bind().dialect.name == "postgresql":
        # Locking the last row is not enough: who waited for it would not see the one that came meanwhile.
        lock = text("SELECT pg_advisory_xact_lock(:kind, :organisation)")
        session.execute(lock, {"kind": SEAL_LOCK, "organisation": (organisation or 0) % (1 << 31)})
    last = session.scalar(
        select(AuditEntry.seal)
        .where(AuditEntry.organisation_id == organisation)
        .order_by(AuditEntry.id.desc())
        .limit(1)
    )
    entry = AuditEntry(
        organisation_id=organisation,
        at=now(),
        actor=principal.name if principal else "server",
        action=action,
        target=target[:256],
        detail=detail,
        remote=principal.remote if principal else "",
    )
    entry.seal = seal(last or FIRST_SEAL, entry)
    session.add(entry)


def seal(previous: str, entry: AuditEntry) -> str:
    """What binds an entry to all before it."""
    fields = [entry.at, entry.actor, entry.action, entry.target, entry.detail, entry.remote]
    return hashlib.sha256((previous + json.dumps(fields, sort_keys=True)).encode()).hexdigest()


def verify(session: Session, organisation_id: int | None) -> int:
    """Check every seal of an organisation's log; says how many entries there are.

    Raises:
        KosError: an entry was changed, removed or put in.
    """
    previous, count = FIRST_SEAL, 0
    query = select(AuditEntry).where(AuditEntry.organisation_id == organisation_id).order_by(AuditEntry.id)
    for entry in session.scalars(query):
        if entry.seal != seal(previous, entry):
            raise KosError(f"the audit log was changed at entry {entry.id}")
        previous, count = entry.seal, count + 1
    return count
