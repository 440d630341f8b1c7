"""Blobs by digest, with ranges: for devices by download token, for people by their own rights."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.abi.session import DELTA_HEADER
from kos.manifest.errors import ManifestError
from kos.manifest.overlay import lay_over
from kos.server.api.common import ERRORS, Own
from kos.server.core.artifacts.deltas import difference
from kos.server.core.artifacts.store import BlobStore
from kos.server.core.auth.guard import identify
from kos.server.core.auth.login import TOKEN_PREFIX
from kos.server.core.db.models import Device, Overlay, OverlayArtifact, Release, ReleaseArtifact
from kos.server.core.devices.identity import ACCEPTED
from kos.server.core.problems import Forbidden, NotFound, Unauthorized

router = APIRouter(tags=["artifacts"], responses=ERRORS)

BINARY = {
    200: {"content": {"application/octet-stream": {}}},
    206: {"description": "A part"},
    416: {"description": "No such range"},
}


@router.head("/artifacts/sha256/{digest}", include_in_schema=False)
@router.get("/artifacts/sha256/{digest}", response_class=FileResponse, responses=BINARY)
def artifact(
    request: Request,
    own: Own,
    digest: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")],
    delta: Annotated[bool, Query()] = False,
) -> FileResponse:
    """One blob. It never changes, so that a broken download goes on where it stopped.

    With `delta` a device gets the difference to the blob that the same app has in what it runs, release and
    overlay together, where that saves bytes; a header says so.
    """
    old = None
    authorization = request.headers.get("authorization", "")
    secret = authorization.partition(" ")[2]
    with own.database.read() as session:
        if authorization and not secret.startswith(TOKEN_PREFIX):
            device = _check_device(session, own.tokens.check, secret, digest)
            if delta:
                old = predecessor(session, own.blobs, device, digest)
        else:
            principal = identify(request)
            if not principal.may("releases.read"):
                raise Forbidden("your role may not read releases")
            allowed = (
                select(ReleaseArtifact.sha256)
                .join(Release, Release.id == ReleaseArtifact.release_id)
                .where(Release.organisation_id == principal.organisation_id)
            )
            _check_listed(session, allowed, digest)
    if old is not None and (kept := difference(own.blobs, old, digest)) is not None:
        # Whose running release changes gets another answer: this one is for nobody to keep.
        headers = {"Cache-Control": "no-store", DELTA_HEADER: old}
        return FileResponse(kept, media_type="application/octet-stream", headers=headers)
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "ETag": f'"{digest}"'}
    return FileResponse(own.blobs.open_path(digest), media_type="application/octet-stream", headers=headers)


def _check_device(session: Session, check, token: str, digest: str) -> Device:  # type: ignore[no-untyped-def]
    """A device may fetch what its own release and overlay need, as long as it is accepted."""
    try:
        identity = check(token)
    except KosError as error:
        raise Unauthorized(error.message) from error
    device = session.get(Device, identity)
    if device is None or device.status != ACCEPTED:
        raise Unauthorized("the device is not accepted")
    brought = select(OverlayArtifact.sha256).where(
        OverlayArtifact.overlay_id == device.overlay_id, OverlayArtifact.sha256 == digest
    )
    if device.overlay_id is None or session.scalar(brought) is None:
        wanted = select(ReleaseArtifact.sha256).where(ReleaseArtifact.release_id == device.release_id)
        _check_listed(session, wanted, digest)
    return device


def predecessor(session: Session, blobs: BlobStore, device: Device, digest: str) -> str | None:
    """The image that the app whose new image is `digest` has in what the device runs."""
    wanted = None if device.release_id is None else session.get(Release, device.release_id)
    over = None if device.overlay_id is None else session.get(Overlay, device.overlay_id)
    here = device.organisation_id
    running = session.scalar(
        select(Release).where(Release.organisation_id == here, Release.manifest == device.running)
    )
    under = session.scalar(
        select(Overlay).where(Overlay.organisation_id == here, Overlay.sha256 == device.running_overlay)
    )
    if wanted is None or running is None:
        return None
    try:
        new, old = _images(blobs, wanted, over), _images(blobs, running, under)
    except ManifestError:
        return None  # they do not fit, which is the device's to say: it asks for whole blobs
    return next((old[app] for app, image in new.items() if image == digest and app in old), None)


def _images(blobs: BlobStore, release: Release, over: Overlay | None) -> dict[str, str]:
    """App → SHA-256 of its image; both documents were checked when they were uploaded."""
    manifest = blobs.read(release.manifest)
    if over is not None:
        manifest = lay_over(manifest, blobs.read(over.sha256))
    apps = json.loads(manifest)["apps"]
    return {name: app["image"]["sha256"] for name, app in apps.items() if "sha256" in app["image"]}


def _check_listed(session: Session, allowed, digest: str) -> None:  # type: ignore[no-untyped-def]
    if session.scalar(allowed.where(ReleaseArtifact.sha256 == digest).limit(1)) is None:
        raise NotFound("no such artifact")
