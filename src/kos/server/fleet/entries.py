"""How devices come into a rollout."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from kos.server.core.db.models import Rollout, RolloutDevice, now
from kos.server.fleet import plan as rules


def enter(session: Session, rollout: Rollout, phases: Iterable[tuple[str, int]]) -> None:
    """Put devices, by their ids, into phases of a rollout; nothing is offered to them yet."""
    for identity, phase in phases:
        session.add(
            RolloutDevice(
                rollout_id=rollout.id,
                device_id=identity,
                phase=phase,
                state=rules.PENDING,
                since=now(),
            )
        )
    session.flush()
