"""Releases: upload, list, show, delete."""

from __future__ import annotations

import asyncio
import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import select
from starlette.requests import ClientDisconnect

from kos.server.api.common import (
    ERRORS,
    CanReadReleases,
    CanWriteReleases,
    Limit,
    Offset,
    Own,
    RowId,
    View,
    own_row,
)
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import Release
from kos.server.core.problems import Problem, TooLarge
from kos.server.core.releases import register, remove, take_in
from kos.server.core.services import Services

router = APIRouter(prefix="/api/v1", tags=["releases"], responses=ERRORS)

UPLOAD_MAX = 4 << 30  # bytes of one archive
SPARE = 256 << 20  # bytes that an upload must leave free on the disk
UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class ReleaseView(View):
    id: int
    manifest: str
    system: str
    version: str
    platform: str
    apps: list[str]
    signers: list[str]
    size: int
    uploaded_by: str
    created_at: int


class ReleaseDetail(ReleaseView):
    assurance: dict[str, Any]


@router.get("/releases")
def list_releases(
    own: Own,
    principal: CanReadReleases,
    system: Annotated[str, Query(max_length=128)] = "",
    limit: Limit = 100,
    offset: Offset = 0,
) -> list[ReleaseView]:
    """Releases, newest first."""
    with own.database.read() as session:
        chosen = select(Release).where(Release.organisation_id == principal.organisation_id)
        if system:
            chosen = chosen.where(Release.system == system)
        rows = session.scalars(chosen.order_by(Release.id.desc()).limit(limit).offset(offset))
        return [ReleaseView.model_validate(row) for row in rows]


@router.get("/releases/{release_id}")
def show_release(own: Own, principal: CanReadReleases, release_id: RowId) -> ReleaseDetail:
    """One release with its assurance report."""
    with own.database.read() as session:
        return ReleaseDetail.model_validate(own_row(session, principal, Release, release_id, "release"))


@router.post("/releases", status_code=201, openapi_extra=UPLOAD_BODY)
async def upload_release(request: Request, own: Own, principal: CanWriteReleases) -> ReleaseDetail:
    """Upload a manifest.zip. It is verified before anything of it is kept."""
    draft = own.blobs.draft()
    try:
        await receive(request, own, draft)
        return await asyncio.to_thread(_keep, own, principal, draft)
    finally:
        draft.unlink(missing_ok=True)


async def receive(request: Request, own: Services, draft: Any) -> None:
    """The body into a file, never more than allowed, never the last of the disk."""
    declared = request.headers.get("content-length", "")
    free = shutil.disk_usage(own.blobs.folder).free - SPARE
    limit = min(UPLOAD_MAX, free)
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"{declared} bytes are too many, at most {limit}")
    size = 0
    try:
        with draft.open("wb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"more than {limit} bytes")
                await asyncio.to_thread(file.write, chunk)
    except ClientDisconnect as error:
        raise Problem("the upload broke off") from error


def _keep(own: Services, principal: Principal, draft: Any) -> ReleaseDetail:
    found = take_in(draft, own.blobs, own.settings)
    with own.database.write() as session:
        return ReleaseDetail.model_validate(register(session, principal, found))


@router.delete("/releases/{release_id}", status_code=204)
def delete_release(own: Own, principal: CanWriteReleases, release_id: RowId) -> None:
    """Delete a release that nothing refers to, with the blobs that only it needed."""
    with own.database.write() as session:
        release = own_row(session, principal, Release, release_id, "release")
        unused = remove(session, principal, release)
    for digest in unused:
        own.blobs.path(digest).unlink(missing_ok=True)
