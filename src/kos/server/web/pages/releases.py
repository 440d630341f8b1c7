"""Releases and what assurance says about each."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import func, select

from kos.server.api.common import CanReadReleases, Own, RowId, devices_of, own_row
from kos.server.core.db.models import Overlay, Release
from kos.server.web.render import page

router = APIRouter(prefix="/releases")

SHOWN = 100


@router.get("", response_class=HTMLResponse)
def releases_page(request: Request, own: Own, principal: CanReadReleases) -> HTMLResponse:
    """All releases and overlays, with how many devices run each."""
    with own.database.read() as session:
        mine = select(Release).where(Release.organisation_id == principal.organisation_id)
        devices = devices_of(principal).subquery()
        running = dict(
            session.execute(select(devices.c.running, func.count()).group_by(devices.c.running)).all()
        )
        overlays = select(Overlay).where(Overlay.organisation_id == principal.organisation_id)
        return page(
            request,
            "releases.html",
            principal,
            releases=session.scalars(mine.order_by(Release.id.desc()).limit(SHOWN)).all(),
            overlays=session.scalars(overlays.order_by(Overlay.id.desc()).limit(SHOWN)).all(),
            running=running,
        )


@router.get("/{release_id}", response_class=HTMLResponse)
def release_page(request: Request, own: Own, principal: CanReadReleases, release_id: RowId) -> HTMLResponse:
    """One release."""
    with own.database.read() as session:
        release = own_row(session, principal, Release, release_id, "release")
        return page(
            request,
            "release.html",
            principal,
            release=release,
            findings=release.assurance.get("findings", []),
        )
