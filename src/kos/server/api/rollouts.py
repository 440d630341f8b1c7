"""Rollouts: plan, start, watch, pause, resume, abort, roll back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.server.api.common import (
    ERRORS,
    Body,
    CanReadRollouts,
    CanWriteRollouts,
    Limit,
    Offset,
    Own,
    RowId,
    View,
    own_row,
)
from kos.server.core.auth import audit
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import Device, DeviceGroup, Release, Rollout, RolloutDevice, now
from kos.server.core.devices.query import parse
from kos.server.core.problems import Conflict, Forbidden
from kos.server.core.services import Services
from kos.server.fleet import plan as rules
from kos.server.fleet.engine import roll_back, withdraw_all

router = APIRouter(prefix="/api/v1", tags=["rollouts"], responses=ERRORS)

Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1e8)]


class PlanBody(Body):
    """See `kos.server.fleet.plan.Plan`."""

    phases: Annotated[list[Annotated[str, Field(max_length=16)]], Field(min_length=1, max_length=20)] = Field(
        default_factory=lambda: ["10%", "50%", "100%"]
    )
    parallel: Annotated[int, Field(ge=0, le=1 << 31)] = 0
    soak: Seconds = 0
    max_failures: Annotated[int, Field(ge=1, le=1 << 31)] | None = None
    max_failure_rate: Share | None = 0.1
    min_sample: Annotated[int, Field(ge=1, le=1 << 31)] = 5
    device_timeout: Annotated[float, Field(gt=0, le=1e8)] = 3600
    window: tuple[Annotated[int, Field(ge=0, le=1440)], Annotated[int, Field(ge=0, le=1440)]] | None = None
    approval: bool = False
    late_joiners: bool = True
    standing: bool = False


class RolloutBody(Body):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    release_id: Annotated[int, Field(ge=1, le=1 << 53)]
    variants: Annotated[list[Annotated[int, Field(ge=1, le=1 << 53)]], Field(max_length=16)] = Field(
        default_factory=list
    )
    target: Annotated[str, Field(max_length=512)] = "*"
    group_id: Annotated[int, Field(ge=1, le=1 << 53)] | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    plan: PlanBody = Field(default_factory=PlanBody)


class RolloutView(View):
    id: int
    name: str
    release_id: int
    variants: list[int]
    target: str
    plan: dict[str, Any]
    state: str
    phase: int
    priority: int
    reason: str
    created_by: str
    approved_by: str | None
    created_at: int
    finished_at: int | None


class RolloutDetail(RolloutView):
    counts: dict[str, int]


class RolloutDeviceView(View):
    device_id: str
    name: str
    phase: int
    state: str
    since: int
    reason: str


def detail(session: Session, rollout: Rollout) -> RolloutDetail:
    counts = session.execute(
        select(RolloutDevice.state, func.count())
        .where(RolloutDevice.rollout_id == rollout.id)
        .group_by(RolloutDevice.state)
    ).all()
    return RolloutDetail(
        **RolloutView.model_validate(rollout).model_dump(), counts={state: number for state, number in counts}
    )


@router.get("/rollouts")
def list_rollouts(
    own: Own, principal: CanReadRollouts, limit: Limit = 100, offset: Offset = 0
) -> list[RolloutView]:
    """Rollouts, newest first."""
    with own.database.read() as session:
        chosen = select(Rollout).where(Rollout.organisation_id == principal.organisation_id)
        rows = session.scalars(chosen.order_by(Rollout.id.desc()).limit(limit).offset(offset))
        return [RolloutView.model_validate(row) for row in rows]


@router.post("/rollouts", status_code=201)
def create_rollout(own: Own, principal: CanWriteRollouts, body: RolloutBody) -> RolloutDetail:
    """Plan a rollout; it starts at once, or waits for approval where the plan says so."""
    with own.database.write() as session:
        release = own_row(session, principal, Release, body.release_id, "release")
        _check_variants(session, principal, release, body.variants)
        queries = [body.target, principal.device_query]
        if body.group_id is not None:
            queries.append(own_row(session, principal, DeviceGroup, body.group_id, "group").query)
        target = " ".join(query for query in queries if query.strip() not in ("", "*")) or "*"
        parse(target)
        plan = rules.Plan.from_json(body.plan.model_dump())
        rollout = Rollout(
            organisation_id=principal.organisation_id,
            name=body.name,
            release_id=release.id,
            variants=body.variants,
            target=target,
            plan=asdict(plan),
            state=rules.WAITING if plan.approval else rules.RUNNING,
            phase_at=now(),
            priority=body.priority,
            created_by=principal.name,
            created_at=now(),
        )
        session.add(rollout)
        session.flush()
        audit.record(
            session, principal, "rollout.create", str(rollout.id), release=release.manifest, target=target
        )
        return detail(session, rollout)


def _check_variants(session: Session, principal: Principal, first: Release, numbers: list[int]) -> None:
    """The same system, each for a platform of its own."""
    taken = {first.platform.partition(",")[0]}
    for number in numbers:
        release = own_row(session, principal, Release, number, "release")
        platform = release.platform.partition(",")[0]
        if release.system != first.system:
            raise KosError(f"release {number} is of {release.system}, not of {first.system}")
        if platform in taken:
            raise KosError(f"there are two releases for {platform}", hint="one for each platform")
        taken.add(platform)


@router.get("/rollouts/{rollout_id}")
def show_rollout(own: Own, principal: CanReadRollouts, rollout_id: RowId) -> RolloutDetail:
    """One rollout with how many devices are in which state."""
    with own.database.read() as session:
        return detail(session, own_row(session, principal, Rollout, rollout_id, "rollout"))


@router.get("/rollouts/{rollout_id}/devices")
def rollout_devices(
    own: Own,
    principal: CanReadRollouts,
    rollout_id: RowId,
    state: Annotated[str, Query(max_length=16)] = "",
    limit: Limit = 100,
    offset: Offset = 0,
) -> list[RolloutDeviceView]:
    """Each device's way through the rollout."""
    with own.database.read() as session:
        own_row(session, principal, Rollout, rollout_id, "rollout")
        chosen = (
            select(RolloutDevice, Device.name)
            .join(Device, Device.id == RolloutDevice.device_id)
            .where(RolloutDevice.rollout_id == rollout_id)
        )
        if state:
            chosen = chosen.where(RolloutDevice.state == state)
        rows = session.execute(chosen.order_by(RolloutDevice.phase, Device.name).limit(limit).offset(offset))
        return [
            RolloutDeviceView(
                device_id=entry.device_id,
                name=name,
                phase=entry.phase,
                state=entry.state,
                since=entry.since,
                reason=entry.reason,
            )
            for entry, name in rows
        ]


Change = Callable[[Session, Rollout], list[str]]


async def _step(
    own: Services, principal: Principal, rollout_id: int, action: str, change: Change
) -> RolloutDetail:
    def carry_out() -> tuple[RolloutDetail, list[str]]:
        with own.database.write() as session:
            own_row(session, principal, Rollout, rollout_id, "rollout")
            # The engine moves rollouts at the same time: whoever comes second sees the other's result.
            rollout = session.get_one(Rollout, rollout_id, with_for_update=True, populate_existing=True)
            told = change(session, rollout)
            audit.record(session, principal, f"rollout.{action}", str(rollout_id))
            return detail(session, rollout), told

    result, told = await asyncio.to_thread(carry_out)
    await own.sessions.push_desired(told)
    own.wake.set()
    await own.live.tell(principal.organisation_id, "rollout", rollout=rollout_id)
    return result


def _set(action: str) -> Change:
    def change(_session: Session, rollout: Rollout) -> list[str]:
        try:
            rollout.state = rules.step(rollout.state, action)
        except Exception as error:
            raise Conflict(str(error)) from error
        rollout.finished_at = now() if rollout.state in rules.ENDED else None
        return []

    return change


@router.post("/rollouts/{rollout_id}/approve")
async def approve_rollout(own: Own, principal: CanWriteRollouts, rollout_id: RowId) -> RolloutDetail:
    """Approve; never one's own rollout."""

    def change(session: Session, rollout: Rollout) -> list[str]:
        if rollout.created_by == principal.name:
            raise Forbidden("a second person must approve")
        rollout.approved_by = principal.name
        return _set("approve")(session, rollout)

    return await _step(own, principal, rollout_id, "approve", change)


@router.post("/rollouts/{rollout_id}/pause")
async def pause_rollout(own: Own, principal: CanWriteRollouts, rollout_id: RowId) -> RolloutDetail:
    """No further offers; devices that are under way go on."""
    return await _step(own, principal, rollout_id, "pause", _set("pause"))


@router.post("/rollouts/{rollout_id}/resume")
async def resume_rollout(own: Own, principal: CanWriteRollouts, rollout_id: RowId) -> RolloutDetail:
    """Go on after a pause or after it has stopped itself; failures so far are forgiven."""

    def change(session: Session, rollout: Rollout) -> list[str]:
        if rollout.state == rules.STOPPED:
            failed = select(func.count()).where(
                RolloutDevice.rollout_id == rollout.id, RolloutDevice.state.in_(rules.FAILURES)
            )
            rollout.plan = {**rollout.plan, "forgiven": session.scalar(failed)}
        return _set("resume")(session, rollout)

    return await _step(own, principal, rollout_id, "resume", change)


@router.post("/rollouts/{rollout_id}/abort")
async def abort_rollout(own: Own, principal: CanWriteRollouts, rollout_id: RowId) -> RolloutDetail:
    """End it; offers that no device has installed yet are taken back."""

    def change(session: Session, rollout: Rollout) -> list[str]:
        _set("abort")(session, rollout)
        return withdraw_all(session, rollout, "aborted")

    return await _step(own, principal, rollout_id, "abort", change)


@router.post("/rollouts/{rollout_id}/rollback")
async def rollback_rollout(own: Own, principal: CanWriteRollouts, rollout_id: RowId) -> RolloutDetail:
    """End it and give each updated device its previous release."""

    def change(session: Session, rollout: Rollout) -> list[str]:
        told: list[str] = []
        if rollout.state != rules.DONE:
            if rollout.state != rules.ABORTED:
                _set("abort")(session, rollout)
            told = withdraw_all(session, rollout, "rolled back")
        rollout.reason = "rolled back"
        rollout.plan = {**rollout.plan, "standing": False}
        return told + roll_back(session, rollout)

    return await _step(own, principal, rollout_id, "rollback", change)


@router.post("/rollouts/{rollout_id}/retire")
async def retire_rollout(own: Own, principal: CanWriteRollouts, rollout_id: RowId) -> RolloutDetail:
    """Let a standing rollout take in no more devices; those that it brought to the release keep it."""

    def change(_session: Session, rollout: Rollout) -> list[str]:
        if not rollout.plan.get("standing"):
            raise Conflict("the rollout is not a standing one")
        rollout.plan = {**rollout.plan, "standing": False}
        return []

    return await _step(own, principal, rollout_id, "retire", change)
