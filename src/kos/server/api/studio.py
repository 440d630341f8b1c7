"""What only Studio offers: new system projects on the developer's own machine."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from kos.server.api.common import ERRORS, Body, CanWriteReleases, Own
from kos.server.core.problems import NotFound
from kos.server.studio.wizard import make_system

router = APIRouter(prefix="/api/v1/studio", tags=["studio"], responses=ERRORS)


class NewSystem(Body):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    folder: Annotated[str, Field(min_length=1, max_length=1024)]


@router.post("/systems", status_code=201)
def new_system(own: Own, principal: CanWriteReleases, body: NewSystem) -> dict[str, str]:
    """Make a system project with one app, which builds and runs as it is."""
    if not own.settings.studio:
        raise NotFound("only Studio makes systems")
    place = make_system(body.name, body.folder)
    return {"made": str(place), "next": f"kos-tool run {place}"}
