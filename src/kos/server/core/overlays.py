"""Overlays: an uploaded one is checked in every way and then becomes a row and blobs, or nothing.

Who has which overlay: a device that a person gave one, else the first group that has one and that it matches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.abi.session import check_setting
from kos.build.overlay_zip import OverlayZip
from kos.manifest import overlay as overlays
from kos.server.core.artifacts.store import BlobStore
from kos.server.core.auth import audit
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import Artifact, Device, DeviceGroup, Overlay, OverlayArtifact, now
from kos.server.core.devices.desired import set_overlay
from kos.server.core.devices.identity import ACCEPTED
from kos.server.core.devices.query import matching
from kos.server.core.problems import Conflict
from kos.server.core.releases import keep_blobs
from kos.server.core.signatures import judge
from kos.server.settings import Settings


def take_in(
    document: Mapping[str, Any], signatures: Sequence[Mapping[str, Any]], store: BlobStore, settings: Settings
) -> tuple[bytes, tuple[str, ...]]:
    """Check an overlay without images and store it; its canonical bytes and who signed it."""
    try:
        named = {str(one["name"]): json.dumps(one["document"]).encode() for one in signatures}
    except KeyError as error:
        raise KosError("a signature has a name and a document") from error
    data = overlays.canonical(document)
    missing = [sha256 for sha256 in overlays.blobs_of(document) if not store.has(sha256)]
    if missing:
        raise KosError(
            f"the overlay brings image {missing[0][:12]}, which is not here",
            hint="upload an overlay.zip: kos-tool overlay",
        )
    signers = _check(data, document, named, settings)
    store.put([data])
    return data, signers


def take_in_archive(
    path: Path, store: BlobStore, settings: Settings
) -> tuple[bytes, tuple[str, ...], list[dict[str, Any]]]:
    """The same for an `overlay.zip`; also its signatures."""
    with OverlayZip(path) as archive:
        signers = _check(archive.document, archive.content, archive.signatures, settings)
        documents = [
            {"name": name, "document": json.loads(data)} for name, data in sorted(archive.signatures.items())
        ]
        keep_blobs(archive, store)
        store.put([archive.document])
        return archive.document, signers, documents


def _check(
    data: bytes, document: Mapping[str, Any], signatures: Mapping[str, bytes], settings: Settings
) -> tuple[str, ...]:
    for name, value in document.get("settings", {}).items():
        check_setting(name, value)
    return judge(data, signatures, settings, overlays.CONTEXT)


def register(
    session: Session,
    principal: Principal,
    name: str,
    data: bytes,
    signatures: Sequence[Mapping[str, Any]],
    signers: Sequence[str],
) -> Overlay:
    """The overlay's row; the same document again is the same overlay."""
    digest = overlays.digest(data)
    same = select(Overlay).where(
        Overlay.organisation_id == principal.organisation_id, Overlay.sha256 == digest
    )
    row = session.scalar(same)
    if row is not None:
        row.signatures, row.signers = list(signatures), list(signers)
        return row
    document = json.loads(data)
    row = Overlay(
        organisation_id=principal.organisation_id,
        name=name,
        sha256=digest,
        document=document,
        size=len(data),
        signatures=list(signatures),
        signers=list(signers),
        uploaded_by=principal.name,
        created_at=now(),
    )
    session.add(row)
    session.flush()
    for blob, size in {**overlays.blobs_of(document), digest: len(data)}.items():
        if session.get(Artifact, blob) is None:
            session.add(Artifact(sha256=blob, size=size, created_at=now()))
            session.flush()
        session.add(OverlayArtifact(overlay_id=row.id, sha256=blob))
    audit.record(session, principal, "overlay.upload", digest, name=name)
    return row


def remove(session: Session, principal: Principal, row: Overlay) -> None:
    """Delete an overlay that nobody uses. Raises Conflict."""
    if session.scalar(select(Device.id).where(Device.overlay_id == row.id).limit(1)):
        raise Conflict("a device uses this overlay")
    if session.scalar(select(DeviceGroup.id).where(DeviceGroup.overlay_id == row.id).limit(1)):
        raise Conflict("a group of devices uses this overlay")
    audit.record(session, principal, "overlay.delete", row.sha256)
    session.delete(row)


def settle_groups(session: Session, blobs: BlobStore) -> list[tuple[str, int]]:
    """Bring devices to the overlays of their groups; device and organisation of each that changed.

    A device that a person gave an overlay keeps it. Of several groups the oldest counts.
    """
    changed: list[tuple[str, int]] = []
    wanted: dict[str, tuple[DeviceGroup, int]] = {}
    groups = session.scalars(
        select(DeviceGroup).where(DeviceGroup.overlay_id.is_not(None)).order_by(DeviceGroup.id)
    )
    for group in groups:
        for device in session.scalars(
            matching(group.organisation_id, group.query).where(Device.status == ACCEPTED)
        ):
            assert group.overlay_id is not None
            wanted.setdefault(device.id, (group, group.overlay_id))
    for device in session.scalars(select(Device).where(Device.overlay_group_id.is_not(None))):
        if device.id not in wanted:
            set_overlay(session, device, None, blobs)
            changed.append((device.id, device.organisation_id))
    for identity, (group, overlay_id) in wanted.items():
        device = session.get_one(Device, identity)
        by_hand = device.overlay_id is not None and device.overlay_group_id is None
        if by_hand or device.overlay_id == overlay_id:
            continue
        try:
            set_overlay(session, device, session.get_one(Overlay, overlay_id), blobs, group.id)
        except KosError:
            continue  # it does not fit what this device runs; it is looked at again
        changed.append((device.id, device.organisation_id))
    return changed


def keep_documents(session: Session, store: BlobStore) -> None:
    """Overlays of a server that kept their documents in the database only become blobs."""
    for row in session.scalars(select(Overlay).where(Overlay.size == 0)):
        digest, row.size = store.put([overlays.canonical(row.document)])
        if session.get(Artifact, digest) is None:
            session.add(Artifact(sha256=digest, size=row.size, created_at=now()))
            session.flush()
        session.merge(OverlayArtifact(overlay_id=row.id, sha256=digest))
