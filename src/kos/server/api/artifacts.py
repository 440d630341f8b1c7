"""Blobs by digest, with ranges: for devices by download token, for people by their own rights."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.server.api.common import ERRORS, Own
from kos.server.core.auth.guard import identify
from kos.server.core.auth.login import TOKEN_PREFIX
from kos.server.core.db.models import Device, Release, ReleaseArtifact
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
    request: Request, own: Own, digest: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
) -> FileResponse:
    """One blob. It never changes, so that a broken download goes on where it stopped."""
    authorization = request.headers.get("authorization", "")
    secret = authorization.partition(" ")[2]
    with own.database.read() as session:
        if authorization and not secret.startswith(TOKEN_PREFIX):
            _check_device(session, own.tokens.check, secret, digest)
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
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "ETag": f'"{digest}"'}
    return FileResponse(own.blobs.open_path(digest), media_type="application/octet-stream", headers=headers)


def _check_device(session: Session, check, token: str, digest: str) -> None:  # type: ignore[no-untyped-def]
    """A device may fetch what its own release needs, as long as it is accepted."""
    try:
        identity = check(token)
    except KosError as error:
        raise Unauthorized(error.message) from error
    device = session.get(Device, identity)
    if device is None or device.status != ACCEPTED:
        raise Unauthorized("the device is not accepted")
    _check_listed(
        session, select(ReleaseArtifact.sha256).where(ReleaseArtifact.release_id == device.release_id), digest
    )


def _check_listed(session: Session, allowed, digest: str) -> None:  # type: ignore[no-untyped-def]
    if session.scalar(allowed.where(ReleaseArtifact.sha256 == digest).limit(1)) is None:
        raise NotFound("no such artifact")
