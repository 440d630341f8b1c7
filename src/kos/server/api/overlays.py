"""Overlays: partial manifests that are laid over a release, for a device or a group."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from sqlalchemy import select

from kos.server.api.common import (
    ERRORS,
    Body,
    CanReadReleases,
    CanWriteReleases,
    Limit,
    Offset,
    Own,
    RowId,
    View,
    own_row,
)
from kos.server.api.releases import UPLOAD_BODY, receive
from kos.server.core import overlays
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import Overlay
from kos.server.core.services import Services

router = APIRouter(prefix="/api/v1", tags=["overlays"], responses=ERRORS)

Title = Annotated[str, Field(min_length=1, max_length=128)]


class OverlayBody(Body):
    name: Title
    document: dict[str, Any]
    signatures: Annotated[list[dict[str, Any]], Field(max_length=16, default_factory=list)]


class OverlayView(View):
    id: int
    name: str
    sha256: str
    document: dict[str, Any]
    size: int
    signers: list[str]
    uploaded_by: str
    created_at: int


@router.get("/overlays")
def list_overlays(
    own: Own, principal: CanReadReleases, limit: Limit = 100, offset: Offset = 0
) -> list[OverlayView]:
    """Overlays, newest first."""
    with own.database.read() as session:
        chosen = select(Overlay).where(Overlay.organisation_id == principal.organisation_id)
        rows = session.scalars(chosen.order_by(Overlay.id.desc()).limit(limit).offset(offset))
        return [OverlayView.model_validate(row) for row in rows]


@router.post("/overlays", status_code=201)
def upload_overlay(own: Own, principal: CanWriteReleases, body: OverlayBody) -> OverlayView:
    """Store an overlay that brings no app; the same document again is the same overlay."""
    data, signers = overlays.take_in(body.document, body.signatures, own.blobs, own.settings)
    with own.database.write() as session:
        row = overlays.register(session, principal, body.name, data, body.signatures, signers)
        return OverlayView.model_validate(row)


@router.post("/overlays/archive", status_code=201, openapi_extra=UPLOAD_BODY)
async def upload_overlay_archive(
    request: Request,
    own: Own,
    principal: CanWriteReleases,
    name: Annotated[str, Query(min_length=1, max_length=128)],
) -> OverlayView:
    """Upload an overlay.zip: an overlay with the apps that it brings."""
    draft = own.blobs.draft()
    try:
        await receive(request, own, draft)
        return await asyncio.to_thread(_keep, own, principal, name, draft)
    finally:
        draft.unlink(missing_ok=True)


def _keep(own: Services, principal: Principal, name: str, draft: Any) -> OverlayView:
    data, signers, documents = overlays.take_in_archive(draft, own.blobs, own.settings)
    with own.database.write() as session:
        row = overlays.register(session, principal, name, data, documents, signers)
        return OverlayView.model_validate(row)


@router.delete("/overlays/{overlay_id}", status_code=204)
def delete_overlay(own: Own, principal: CanWriteReleases, overlay_id: RowId) -> None:
    """Delete an overlay that no device and no group uses."""
    with own.database.write() as session:
        overlays.remove(session, principal, own_row(session, principal, Overlay, overlay_id, "overlay"))
