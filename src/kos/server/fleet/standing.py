"""What a finished rollout does for devices that appear later: a standing one is what its target should have.

Of several standing rollouts that match a device, the one of the highest priority counts, then the newest. A
device is left alone when a person has given it a release of its own, when a newer rollout has had it, and
when this one has tried it before.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session

from kos.server.core.auth import audit
from kos.server.core.db.models import Device, Rollout, RolloutDevice
from kos.server.core.devices.identity import ACCEPTED
from kos.server.core.devices.query import matching
from kos.server.fleet import plan as rules
from kos.server.fleet.entries import enter
from kos.server.fleet.variants import Variants

AT_ONCE = 1000  # devices that one look puts in


def waiting(session: Session) -> bool:
    """Whether `reopen` would find something to do."""
    finished = _standing(session)
    return any(_fresh(session, finished, rollout) for rollout in finished if rollout.state == rules.DONE)


def reopen(session: Session) -> None:
    """Put late devices into finished rollouts, which go on with them by their own rules."""
    for rollout in _standing(session, lock=True):
        standing = _standing(session)
        if rollout.state != rules.DONE or not (fresh := _fresh(session, standing, rollout)):
            continue
        last = len(rules.Plan.from_json(rollout.plan).phases) - 1
        rollout.state = rules.RUNNING
        enter(session, rollout, ((identity, last) for identity in fresh))
        audit.record(
            session,
            None,
            "rollout.joined",
            str(rollout.id),
            organisation_id=rollout.organisation_id,
            devices=len(fresh),
        )


def _standing(session: Session, lock: bool = False) -> Sequence[Rollout]:
    """All that stand or are on the way to it; those that count more first."""
    chosen = select(Rollout).where(
        Rollout.state.in_((rules.DONE, *rules.ACTIVE)), Rollout.plan["standing"].as_boolean()
    )
    if lock:
        chosen = chosen.with_for_update().execution_options(populate_existing=True)
    return session.scalars(chosen.order_by(Rollout.priority.desc(), Rollout.id.desc())).all()


def _fresh(session: Session, standing: Sequence[Rollout], rollout: Rollout) -> list[str]:
    releases = Variants.of(session, rollout)
    chosen = _candidates(standing, rollout).with_only_columns(Device.id, Device.platform)
    rows = session.execute(chosen.order_by(Device.created_at, Device.id).limit(AT_ONCE))
    return [identity for identity, platform in rows if releases.fit(platform)]


def _candidates(standing: Sequence[Rollout], rollout: Rollout) -> Select[tuple[Device]]:
    own = RolloutDevice.device_id == Device.id
    tried = exists().where(own, RolloutDevice.rollout_id >= rollout.id)
    brought = exists().where(
        own,
        RolloutDevice.rollout_id == Rollout.id,
        RolloutDevice.state == rules.HEALTHY,
        Rollout.release_id == Device.release_id,
    )
    chosen = matching(rollout.organisation_id, rollout.target).where(
        Device.status == ACCEPTED,
        Device.platform != "",  # it has not said yet what it is
        ~tried,
        Device.release_id.is_(None) | brought,
    )
    for better in standing:
        if better.id == rollout.id:
            break
        if better.organisation_id == rollout.organisation_id:
            reached = matching(better.organisation_id, better.target).with_only_columns(Device.id)
            chosen = chosen.where(Device.id.not_in(reached))
    return chosen
