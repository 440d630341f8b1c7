"""Studio's wizard for a new system."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from kos.server.api.common import CanWriteReleases, Own
from kos.server.core.problems import NotFound
from kos.server.web.render import page

router = APIRouter()


@router.get("/new", response_class=HTMLResponse)
def new_system_page(request: Request, own: Own, principal: CanWriteReleases) -> HTMLResponse:
    """Name and place."""
    if not own.settings.studio:
        raise NotFound("only Studio makes systems")
    return page(request, "new_system.html", principal, home=str(Path.home()))
