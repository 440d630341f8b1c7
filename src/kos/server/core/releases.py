"""Releases: an uploaded `manifest.zip` is checked in every way and then becomes rows and blobs, or nothing.

The reader is strict (one way to write an archive, sizes known, digests right); signatures are judged here.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.assurance import Profile, check
from kos.build.manifest_zip import Archive, ManifestZip
from kos.server.core.artifacts.store import BlobStore
from kos.server.core.auth import audit
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import (
    Artifact,
    Device,
    OverlayArtifact,
    Release,
    ReleaseArtifact,
    Rollout,
    RolloutDevice,
    now,
)
from kos.server.core.problems import Conflict
from kos.server.core.signatures import judge
from kos.server.settings import Settings

log = logging.getLogger(__name__)

NOT_ENDED = ("waiting", "running", "paused", "stopped")  # rollouts that can still bring a device back


@dataclass(frozen=True)
class Checked:
    """An archive that was found to be in order; its blobs are in the store."""

    manifest_bytes: bytes
    name: str
    release: str
    platform: str
    apps: tuple[str, ...]
    blobs: Mapping[str, int]
    signatures: tuple[dict[str, Any], ...]
    signers: tuple[str, ...]
    assurance: dict[str, Any]


def take_in(path: Path, store: BlobStore, settings: Settings) -> Checked:
    """Check an archive and store its blobs. Raises KosError, and has stored nothing then.

    The manifest itself is stored as a blob too: devices fetch it like any other.
    """
    with ManifestZip(path) as archive:
        signatures = {name: _document(name, data) for name, data in archive.signatures.items()}
        signers = judge(archive.manifest_bytes, archive.signatures, settings)
        profile = Profile.DEVELOPMENT if settings.studio else Profile.RELEASE
        assurance = json.loads(check(archive.manifest, profile=profile).render("json"))
        keep_blobs(archive, store)
        store.put([archive.manifest_bytes])
        manifest = archive.manifest
        return Checked(
            archive.manifest_bytes,
            manifest.name,
            manifest.release,
            manifest.platform,
            tuple(sorted(manifest.apps)),
            archive.blobs,
            tuple({"name": name, "document": document} for name, document in signatures.items()),
            signers,
            assurance,
        )


def keep_blobs(archive: Archive, store: BlobStore) -> None:
    """Store an archive's blobs once every one of them was found to be what its name says: all or none."""
    drafts: dict[str, Path] = {}
    try:
        for digest in archive.blobs:
            if not store.has(digest):
                drafts[digest] = store.draft()
                with drafts[digest].open("wb") as file:
                    archive.copy_blob(digest, file)
        for digest, draft in drafts.items():
            store.adopt(draft, digest)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _document(name: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise KosError(f"signature {name} is not JSON") from error


def register(session: Session, principal: Principal, found: Checked) -> Release:
    """The release's row; the same archive again is the same release."""
    digest = hashlib.sha256(found.manifest_bytes).hexdigest()
    same = select(Release).where(
        Release.organisation_id == principal.organisation_id, Release.manifest == digest
    )
    if (known := session.scalar(same)) is not None:
        return known
    release = Release(
        organisation_id=principal.organisation_id,
        manifest=digest,
        manifest_size=len(found.manifest_bytes),
        system=found.name,
        version=found.release,
        platform=found.platform,
        apps=list(found.apps),
        signatures=list(found.signatures),
        signers=list(found.signers),
        assurance=found.assurance,
        size=sum(found.blobs.values()),
        uploaded_by=principal.name,
        created_at=now(),
    )
    session.add(release)
    session.flush()
    for blob, size in {**found.blobs, digest: len(found.manifest_bytes)}.items():
        if session.get(Artifact, blob) is None:
            session.add(Artifact(sha256=blob, size=size, created_at=now()))
            session.flush()
        session.add(ReleaseArtifact(release_id=release.id, sha256=blob))
    audit.record(session, principal, "release.upload", digest, system=found.name, version=found.release)
    return release


def remove(session: Session, principal: Principal, release: Release) -> list[str]:
    """Delete a release; says which blobs nobody needs any more.

    Raises:
        Conflict: a device or a rollout still refers to it.
    """
    if session.scalar(select(Device.id).where(Device.release_id == release.id).limit(1)):
        raise Conflict("a device still wants this release")
    refers = select(Rollout.release_id, Rollout.variants).where(
        Rollout.organisation_id == release.organisation_id
    )
    if any(release.id in (first, *others) for first, others in session.execute(refers)):
        raise Conflict("a rollout refers to this release")
    before = (
        select(RolloutDevice.device_id)
        .join(Rollout)
        .where(RolloutDevice.previous_release_id == release.id, Rollout.state.in_(NOT_ENDED))
    )
    if session.scalar(before.limit(1)):
        raise Conflict("a rollout may have to go back to this release")
    gone = update(RolloutDevice).where(RolloutDevice.previous_release_id == release.id)
    session.execute(gone.values(previous_release_id=None))
    mine = set(
        session.scalars(select(ReleaseArtifact.sha256).where(ReleaseArtifact.release_id == release.id))
    )
    audit.record(session, principal, "release.delete", release.manifest)
    session.delete(release)
    session.flush()
    used = set(session.scalars(select(ReleaseArtifact.sha256).where(ReleaseArtifact.sha256.in_(mine))))
    used |= set(session.scalars(select(OverlayArtifact.sha256).where(OverlayArtifact.sha256.in_(mine))))
    unused = sorted(mine - used)
    for digest in unused:
        session.delete(session.get_one(Artifact, digest))
    return unused
