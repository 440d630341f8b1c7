"""One device: state, apps, console, graph, data."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select

from kos.abi import nkey
from kos.server.api.common import CanReadDevices, DeviceId, Own, device_of
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import Alarm, AlarmRule, Device, DeviceEvent, Overlay, Release
from kos.server.web.render import page

router = APIRouter(prefix="/devices/{device_id}")

RELEASES_SHOWN = 20
EVENTS_SHOWN = 30
TABS = ("overview", "console", "graph", "trace", "data", "debug")


def _page(
    request: Request, own: Own, principal: Principal, device_id: str, template: str, tab: str
) -> HTMLResponse:
    with own.database.read() as session:
        device = device_of(session, principal, device_id)
        running = session.scalar(
            select(Release).where(
                Release.organisation_id == principal.organisation_id, Release.manifest == device.running
            )
        )
        wanted = None if device.release_id is None else session.get(Release, device.release_id)
        releases = session.scalars(
            select(Release)
            .where(Release.organisation_id == principal.organisation_id)
            .order_by(Release.id.desc())
            .limit(RELEASES_SHOWN)
        ).all()
        overlays = session.scalars(
            select(Overlay)
            .where(Overlay.organisation_id == principal.organisation_id)
            .order_by(Overlay.id.desc())
            .limit(RELEASES_SHOWN)
        ).all()
        events = session.scalars(
            select(DeviceEvent)
            .where(DeviceEvent.device_id == device_id)
            .order_by(DeviceEvent.id.desc())
            .limit(EVENTS_SHOWN)
        ).all()
        alarms = session.execute(
            select(Alarm, AlarmRule)
            .join(AlarmRule, AlarmRule.id == Alarm.rule_id)
            .where(Alarm.device_id == device_id, Alarm.cleared_at.is_(None))
        ).all()
        return page(
            request,
            template,
            principal,
            device=device,
            claim_code=_code(device),
            running=running,
            wanted=wanted,
            overlay=None if device.overlay_id is None else session.get(Overlay, device.overlay_id),
            releases=releases,
            overlays=overlays,
            events=events,
            alarms=alarms,
            tab=tab,
            tabs=TABS,
        )


def _code(device: Device) -> str:
    return nkey.claim_code(nkey.decode(device.public_key))


@router.get("", response_class=HTMLResponse)
def device_page(request: Request, own: Own, principal: CanReadDevices, device_id: DeviceId) -> HTMLResponse:
    """The overview."""
    return _page(request, own, principal, device_id, "device.html", "overview")


@router.get("/tab/{tab}", response_class=HTMLResponse)
def device_tab(
    request: Request, own: Own, principal: CanReadDevices, device_id: DeviceId, tab: str
) -> HTMLResponse:
    """One of the tabs."""
    shown = tab if tab in TABS else "overview"
    return _page(request, own, principal, device_id, "device.html", shown)


@router.get("/state", response_class=HTMLResponse)
def device_state(request: Request, own: Own, principal: CanReadDevices, device_id: DeviceId) -> HTMLResponse:
    """The part of the page that changes with each report."""
    return _page(request, own, principal, device_id, "device_state.html", "overview")


@router.get("/events", response_class=HTMLResponse)
def device_events(request: Request, own: Own, principal: CanReadDevices, device_id: DeviceId) -> HTMLResponse:
    """What happened on it, newest first."""
    return _page(request, own, principal, device_id, "device_events.html", "overview")
