"""Rollouts: list, plan, watch."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import func, select

from kos.server.api.common import CanReadRollouts, CanWriteRollouts, Own, RowId, own_row
from kos.server.core.db.models import Device, DeviceGroup, Release, Rollout, RolloutDevice
from kos.server.fleet import plan as rules
from kos.server.web.render import page

router = APIRouter(prefix="/rollouts")

SHOWN = 100
DEVICES_SHOWN = 200


def bars(counts: dict[str, int]) -> dict[str, int]:
    """Counts as the meter shows them."""
    return {
        "healthy": counts.get(rules.HEALTHY, 0),
        "way": sum(counts.get(state, 0) for state in rules.UNDER_WAY),
        "bad": sum(counts.get(state, 0) for state in rules.FAILURES),
        "total": sum(counts.values()),
    }


@router.get("", response_class=HTMLResponse)
def rollouts_page(request: Request, own: Own, principal: CanReadRollouts) -> HTMLResponse:
    """All rollouts."""
    with own.database.read() as session:
        mine = (
            select(Rollout, Release)
            .join(Release, Release.id == Rollout.release_id)
            .where(Rollout.organisation_id == principal.organisation_id)
        )
        rows = session.execute(mine.order_by(Rollout.id.desc()).limit(SHOWN)).all()
        counts: dict[int, dict[str, int]] = {rollout.id: {} for rollout, _ in rows}
        chosen = (
            select(RolloutDevice.rollout_id, RolloutDevice.state, func.count())
            .where(RolloutDevice.rollout_id.in_(counts))
            .group_by(RolloutDevice.rollout_id, RolloutDevice.state)
        )
        for number, state, count in session.execute(chosen):
            counts[number][state] = count
        return page(
            request,
            "rollouts.html",
            principal,
            rollouts=[(rollout, release, bars(counts[rollout.id])) for rollout, release in rows],
        )


@router.get("/new", response_class=HTMLResponse)
def new_rollout_page(request: Request, own: Own, principal: CanWriteRollouts) -> HTMLResponse:
    """Plan one."""
    with own.database.read() as session:
        releases = select(Release).where(Release.organisation_id == principal.organisation_id)
        groups = select(DeviceGroup).where(DeviceGroup.organisation_id == principal.organisation_id)
        return page(
            request,
            "rollout_new.html",
            principal,
            releases=session.scalars(releases.order_by(Release.id.desc()).limit(SHOWN)).all(),
            groups=session.scalars(groups.order_by(DeviceGroup.name)).all(),
        )


@router.get("/{rollout_id}", response_class=HTMLResponse)
def rollout_page(request: Request, own: Own, principal: CanReadRollouts, rollout_id: RowId) -> HTMLResponse:
    """One rollout, live."""
    with own.database.read() as session:
        rollout = own_row(session, principal, Rollout, rollout_id, "rollout")
        release = session.get_one(Release, rollout.release_id)
        members = select(RolloutDevice).where(RolloutDevice.rollout_id == rollout_id).subquery()
        counts = session.execute(
            select(members.c.phase, members.c.state, func.count()).group_by(members.c.phase, members.c.state)
        ).all()
        phases: dict[int, dict[str, int]] = {}
        total: dict[str, int] = {}
        for phase, state, count in counts:
            phases.setdefault(phase, {})[state] = count
            total[state] = total.get(state, 0) + count
        troubled_first = RolloutDevice.state.in_(rules.FAILURES).desc()
        devices = session.execute(
            select(RolloutDevice, Device.name)
            .join(Device, Device.id == RolloutDevice.device_id)
            .where(RolloutDevice.rollout_id == rollout_id)
            .order_by(troubled_first, RolloutDevice.phase, Device.name)
            .limit(DEVICES_SHOWN)
        ).all()
        return page(
            request,
            "rollout.html",
            principal,
            rollout=rollout,
            release=release,
            counts=total,
            total_bars=bars(total),
            phases=[
                (index, size, bars(phases.get(index, {})))
                for index, size in enumerate(rollout.plan["phases"])
            ],
            devices=devices,
            steps={name: rollout.state in allowed for name, (allowed, _) in rules.STEPS.items()},
        )
