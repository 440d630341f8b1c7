"""Overlays: partial manifests that are laid over a release, for a device."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import rfc8785
from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import select

from kos.abi.errors import KosError
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
from kos.server.core.auth import audit
from kos.server.core.db.models import Device, Overlay, now
from kos.server.core.problems import Conflict

router = APIRouter(prefix="/api/v1", tags=["overlays"], responses=ERRORS)

DOCUMENT_MAX = 64 * 1024  # bytes in canonical form
PARTS = ("apps", "settings")  # what an overlay may say
APP_PARTS = ("environ", "config", "arguments")  # of an app that the release has


class OverlayBody(Body):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    document: dict[str, Any]
    signatures: Annotated[list[dict[str, Any]], Field(max_length=16, default_factory=list)]


class OverlayView(View):
    id: int
    name: str
    sha256: str
    document: dict[str, Any]
    uploaded_by: str
    created_at: int


def canonical(document: dict[str, Any]) -> bytes:
    """The bytes that are signed and hashed. Raises KosError for what an overlay may not say."""
    strange = sorted(set(document) - set(PARTS))
    if strange or not document:
        raise KosError(f"an overlay says {' or '.join(PARTS)}, found {strange or 'nothing'}")
    for name, app in dict(document.get("apps") or {}).items():
        if not isinstance(app, dict) or set(app) - set(APP_PARTS):
            raise KosError(f"overlay of app {name!r}: expected only " + ", ".join(APP_PARTS))
    try:
        raw: bytes = rfc8785.dumps(document)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise KosError(
            "the overlay has no canonical form", hint="numbers within 2^53, whole characters"
        ) from error
    if len(raw) > DOCUMENT_MAX:
        raise KosError(f"an overlay has at most {DOCUMENT_MAX} bytes, found {len(raw)}")
    return raw


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
    """Store an overlay; the same document again is the same overlay."""
    digest = hashlib.sha256(canonical(body.document)).hexdigest()
    with own.database.write() as session:
        same = select(Overlay).where(
            Overlay.organisation_id == principal.organisation_id, Overlay.sha256 == digest
        )
        row = session.scalar(same)
        if row is None:
            row = Overlay(
                organisation_id=principal.organisation_id,
                name=body.name,
                sha256=digest,
                document=body.document,
                signatures=body.signatures,
                uploaded_by=principal.name,
                created_at=now(),
            )
            session.add(row)
            session.flush()
            audit.record(session, principal, "overlay.upload", digest, name=body.name)
        return OverlayView.model_validate(row)


@router.delete("/overlays/{overlay_id}", status_code=204)
def delete_overlay(own: Own, principal: CanWriteReleases, overlay_id: RowId) -> None:
    """Delete an overlay that no device uses."""
    with own.database.write() as session:
        row = own_row(session, principal, Overlay, overlay_id, "overlay")
        if session.scalar(select(Device.id).where(Device.overlay_id == row.id).limit(1)):
            raise Conflict("a device uses this overlay")
        audit.record(session, principal, "overlay.delete", row.sha256)
        session.delete(row)
