"""Carries rollouts out: facts from the database to `plan.advance`, its decision back, devices told.

Runs in the process that holds the lease. Each rollout moves in one transaction: a process that dies in the
middle leaves either all of a step or none, and no device is offered twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.server.core.auth import audit
from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, Rollout, RolloutDevice, now
from kos.server.core.devices.desired import set_release
from kos.server.core.devices.identity import ACCEPTED
from kos.server.core.devices.query import matching
from kos.server.core.devices.sessions import Sessions
from kos.server.core.live import Live
from kos.server.core.notify.events import Occurrence, enqueue
from kos.server.core.telemetry import Tracer
from kos.server.fleet import plan as rules
from kos.server.fleet import standing
from kos.server.fleet.entries import enter
from kos.server.fleet.variants import Variants
from kos.server.settings import Settings

log = logging.getLogger(__name__)

TICK = 1.0  # seconds between two looks when nothing happens
PAUSE = 0.1  # seconds at least between two looks
STANDING_EVERY = 2.0  # seconds between two looks for devices that a finished rollout is to reach


class RolloutEngine:
    """Moves every active rollout."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        sessions: Sessions,
        live: Live,
        wake: asyncio.Event,
        tracer: Tracer,
        heard: Callable[[], int],
    ) -> None:
        self.tracer = tracer
        self.heard = heard
        self.settings = settings
        self.database = database
        self.sessions = sessions
        self.live = live
        self.wake = wake

    async def run(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        looked_at = -STANDING_EVERY
        while True:
            if clock() - looked_at >= STANDING_EVERY:
                await asyncio.to_thread(self._reopen)
                looked_at = clock()
            for rollout_id, organisation in await asyncio.to_thread(self._active):
                told, changed = await asyncio.to_thread(self.move, rollout_id)
                await self.sessions.push_desired(told)
                if changed:
                    await self.live.tell(organisation, "rollout", rollout=rollout_id)
            self.wake.clear()
            await asyncio.sleep(PAUSE)
            try:
                await asyncio.wait_for(self.wake.wait(), TICK)
            except TimeoutError:
                continue

    def _active(self) -> list[tuple[int, int]]:
        with self.database.read() as session:
            chosen = select(Rollout.id, Rollout.organisation_id).where(Rollout.state.in_(rules.ACTIVE))
            rows = session.execute(chosen.order_by(Rollout.priority.desc(), Rollout.id))
            return [(number, organisation) for number, organisation in rows]

    def _reopen(self) -> None:
        with self.database.read() as session:
            if not standing.waiting(session):
                return
        with self.database.write() as session:
            standing.reopen(session)

    def move(self, rollout_id: int) -> tuple[list[str], bool]:
        """One look at one rollout: the devices whose desired state changed, and whether a page would."""
        with self.tracer.span("rollout.move", rollout=rollout_id), self.database.write() as session:
            rollout = session.get(Rollout, rollout_id, with_for_update=True)
            if rollout is None or rollout.state not in rules.ACTIVE:
                return [], False
            releases = Variants.of(session, rollout)
            plan = rules.Plan.from_json(rollout.plan)
            changed = self._take_in(session, rollout, releases, plan)
            entries = {
                entry.device_id: entry
                for entry in session.scalars(
                    select(RolloutDevice).where(RolloutDevice.rollout_id == rollout.id)
                )
            }
            devices = _devices(session, entries)
            told: list[str] = []
            changed |= self._observe(session, releases, entries, devices, told)
            decision = rules.advance(
                plan,
                rollout.state,
                rollout.phase,
                rollout.phase_at / 1000,
                _members(session, rollout, entries, devices),
                now() / 1000,
                self.heard() / 1000,
            )
            for identity in decision.time_out:
                reason = f"silent: not healthy within {plan.device_timeout:g} s"
                _finish(session, entries[identity], devices[identity], rules.TIMED_OUT, reason, told)
            for identity in decision.withdraw:
                _finish(session, entries[identity], devices[identity], rules.WITHDRAWN, decision.reason, told)
            for identity in decision.offer:
                self._offer(session, releases, entries[identity], devices[identity], told)
            changed |= bool(told) or (decision.state, decision.phase) != (rollout.state, rollout.phase)
            self._settle(session, rollout, decision)
            return told, changed

    def _take_in(self, session: Session, rollout: Rollout, releases: Variants, plan: rules.Plan) -> bool:
        """Devices that match and are not part yet. The first get phases; later ones join the last."""
        known = set(
            session.scalars(select(RolloutDevice.device_id).where(RolloutDevice.rollout_id == rollout.id))
        )
        if known and not plan.late_joiners:
            return False
        if plan.standing and rollout.finished_at is not None:
            return False  # it is open again for those whom `standing.reopen` has put in
        chosen = matching(rollout.organisation_id, rollout.target).where(Device.status == ACCEPTED)
        rows = session.execute(chosen.with_only_columns(Device.id, Device.platform)).all()
        fresh = rules.order(
            rollout.id,
            [identity for identity, its in rows if identity not in known and releases.fit(its)],
        )
        last = len(plan.phases) - 1
        phases = [last] * len(fresh) if known else rules.phases_of(plan, len(fresh))
        enter(session, rollout, zip(fresh, phases, strict=True))
        return bool(fresh)

    def _observe(
        self,
        session: Session,
        releases: Variants,
        entries: dict[str, RolloutDevice],
        devices: dict[str, Device],
        told: list[str],
    ) -> bool:
        changed = False
        for identity, entry in entries.items():
            device = devices[identity]
            if entry.state not in rules.UNDER_WAY or entry.desired_version is None:
                continue
            running = device.running == releases.release_for(device.platform).manifest
            seen = rules.Observed(device.update_version, device.update_state, running)
            state = rules.observe(entry.state, entry.desired_version, seen)
            if state == entry.state:
                continue
            changed = True
            if state in rules.FAILURES:
                _finish(session, entry, device, state, device.update_reason, told)
            else:
                entry.state, entry.since = state, now()
        return changed

    def _offer(
        self, session: Session, releases: Variants, entry: RolloutDevice, device: Device, told: list[str]
    ) -> None:
        release = releases.release_for(device.platform)
        entry.previous_release_id = device.release_id
        entry.offered_at = entry.since = now()
        if device.running == release.manifest and device.release_id == release.id:
            entry.state = rules.HEALTHY  # it runs this release already
            return
        try:
            set_release(session, device, release)
        except KosError as error:
            entry.state, entry.reason = rules.FAILED, error.message
            return
        entry.state, entry.desired_version = rules.OFFERED, device.desired_version
        told.append(device.id)

    def _settle(self, session: Session, rollout: Rollout, decision: rules.Decision) -> None:
        if decision.phase_began:
            rollout.phase, rollout.phase_at = decision.phase, now()
        if decision.state == rollout.state:
            return
        rollout.state, rollout.reason = decision.state, decision.reason
        again = rollout.finished_at is not None and decision.state == rules.DONE
        if decision.state in rules.ENDED:
            rollout.finished_at = now()
        audit.record(
            session,
            None,
            f"rollout.{decision.state}",
            str(rollout.id),
            organisation_id=rollout.organisation_id,
            reason=decision.reason,
        )
        # One that late joiners had opened again is no news.
        if decision.state in rules.ENDED and not again:
            enqueue(session, rollout.organisation_id, [_occurrence(rollout)])


def _occurrence(rollout: Rollout) -> Occurrence:
    """The end of a rollout as a notification: one that stopped itself waits for a person."""
    because = f": {rollout.reason}" if rollout.reason else ""
    return Occurrence(
        kind=f"rollout.{rollout.state}",
        severity="critical" if rollout.state == rules.STOPPED else "info",
        title=f"rollout {rollout.name} is {rollout.state}{because}",
        at=now(),
        detail={"rollout": rollout.id, "name": rollout.name, "reason": rollout.reason},
    )


def withdraw_all(session: Session, rollout: Rollout, reason: str) -> list[str]:
    """Take back the offers that no device has installed yet; says whom to tell."""
    told: list[str] = []
    entries = _entries(session, rollout, (rules.PENDING, rules.OFFERED, rules.DOWNLOADING))
    devices = _devices(session, entries)
    for identity, entry in entries.items():
        if entry.state == rules.PENDING:
            entry.state, entry.since, entry.reason = rules.WITHDRAWN, now(), reason
        else:
            _finish(session, entry, devices[identity], rules.WITHDRAWN, reason, told)
    return told


def roll_back(session: Session, rollout: Rollout) -> list[str]:
    """Give every device that this rollout brought to the release its previous one; says whom to tell."""
    told: list[str] = []
    entries = _entries(session, rollout, (rules.HEALTHY, rules.INSTALLED, rules.BOOTED))
    devices = _devices(session, entries)
    ours = {rollout.release_id, *rollout.variants}
    for identity, entry in entries.items():
        # A device that got something else meanwhile, or that had nothing before, is left alone.
        if entry.previous_release_id is None or devices[identity].release_id not in ours:
            continue
        _finish(session, entry, devices[identity], rules.ROLLED_BACK, "rolled back", told)
    return told


def _entries(session: Session, rollout: Rollout, states: Iterable[str]) -> dict[str, RolloutDevice]:
    chosen = select(RolloutDevice).where(
        RolloutDevice.rollout_id == rollout.id, RolloutDevice.state.in_(list(states))
    )
    return {entry.device_id: entry for entry in session.scalars(chosen)}


def _devices(session: Session, wanted: Iterable[str]) -> dict[str, Device]:
    identities = list(wanted)
    found: dict[str, Device] = {}
    for start in range(0, len(identities), 500):
        chosen = select(Device).where(Device.id.in_(identities[start : start + 500]))
        found |= {device.id: device for device in session.scalars(chosen)}
    return found


def _members(
    session: Session, rollout: Rollout, entries: dict[str, RolloutDevice], devices: dict[str, Device]
) -> list[rules.Member]:
    busy = _busy(session, rollout)
    return [
        rules.Member(
            identity,
            entry.phase,
            entry.state,
            None if entry.offered_at is None else entry.offered_at / 1000,
            identity not in busy and devices[identity].status == ACCEPTED,
        )
        for identity, entry in entries.items()
    ]


def _busy(session: Session, rollout: Rollout) -> set[str]:
    """Devices that another rollout is updating, or that one of higher priority still wants."""
    others = (
        select(RolloutDevice.device_id)
        .join(Rollout, Rollout.id == RolloutDevice.rollout_id)
        .where(
            Rollout.id != rollout.id,
            Rollout.organisation_id == rollout.organisation_id,
            Rollout.state.in_((rules.RUNNING, rules.PAUSED)),
            RolloutDevice.state.in_(rules.UNDER_WAY)
            | ((RolloutDevice.state == rules.PENDING) & (Rollout.priority > rollout.priority)),
        )
    )
    return set(session.scalars(others))


def _finish(
    session: Session, entry: RolloutDevice, device: Device, state: str, reason: str, told: list[str]
) -> None:
    """End a device's part other than in health, and want its previous release again."""
    entry.state, entry.since, entry.reason = state, now(), reason
    if device.desired_version == entry.desired_version or state == rules.ROLLED_BACK:
        device.release_id = entry.previous_release_id
        device.desired_version += 1
        told.append(device.id)
