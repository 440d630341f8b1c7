"""What people do to devices: accept, reject, revoke, rename, tag, claim, announce, give a new key.

Each runs in the caller's transaction and leaves an audit entry. Telling the device is the caller's part.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.server.core.auth import audit
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import Device, Organisation, PreauthorisedKey, now
from kos.server.core.devices.identity import ACCEPTED, PENDING, REVOKED, step
from kos.server.core.devices.login import DEFAULT_ORGANISATION
from kos.server.core.devices.query import TAG
from kos.server.core.devices.tunnels import move_tunnel
from kos.server.core.problems import Conflict, NotFound

TAGS_MAX = 32


def decide(session: Session, principal: Principal, device: Device, action: str) -> None:
    """Accept, reject or revoke."""
    status = step(device.status, action)
    if status != device.status:
        device.status = status
        if status == REVOKED:
            device.online = False
        audit.record(session, principal, f"device.{action}", device.id)


def check_tags(tags: Sequence[str]) -> list[str]:
    """Sorted, without repetition. Raises KosError for a name that is no tag."""
    chosen = sorted(set(tags))
    if len(chosen) > TAGS_MAX:
        raise KosError(f"a device has at most {TAGS_MAX} tags")
    for tag in chosen:
        if not TAG.fullmatch(tag):
            raise KosError(f"not a tag: {tag!r}", hint="letters, digits, '.', '-' and '_', at most 64")
    return chosen


def edit(
    session: Session, principal: Principal, device: Device, name: str | None, tags: Sequence[str] | None
) -> None:
    if name is not None:
        device.name = name
    if tags is not None:
        device.tags = check_tags(tags)
    audit.record(session, principal, "device.edit", device.id, name=device.name, tags=device.tags)


def claim(session: Session, principal: Principal, code: str) -> Device:
    """Take a pending device of the default organisation by the code that its holder reads from it."""
    wanted = code.strip().upper()
    default = select(Organisation.id).where(Organisation.slug == DEFAULT_ORGANISATION).scalar_subquery()
    waiting = select(Device).where(Device.status == PENDING, Device.organisation_id == default)
    for device in session.scalars(waiting):
        if nkey.claim_code(nkey.decode(device.public_key)) == wanted:
            device.organisation_id, device.status = principal.organisation_id, ACCEPTED
            audit.record(session, principal, "device.claim", device.id)
            return device
    raise NotFound("no waiting device has this code", hint="is the device connected?")


def announce(session: Session, principal: Principal, public_key: str, name: str, tags: Sequence[str]) -> None:
    """Accept a key before its device shows up."""
    key = nkey.decode(public_key)
    device = session.get(Device, nkey.device_id(key))
    if device is not None or session.scalar(
        select(PreauthorisedKey).where(PreauthorisedKey.public_key == public_key)
    ):
        raise Conflict(f"the key {public_key[:8]}… is known already")
    session.add(
        PreauthorisedKey(
            organisation_id=principal.organisation_id,
            public_key=public_key,
            name=name,
            tags=check_tags(tags),
            created_at=now(),
        )
    )
    audit.record(session, principal, "device.announce", public_key, name=name)


def rotate(session: Session, principal: Principal, device: Device, public_key: str) -> Device:
    """A new key for the same device: everything moves to the new identity, the old key is revoked."""
    key = nkey.decode(public_key)
    identity = nkey.device_id(key)
    if session.get(Device, identity) is not None:
        raise Conflict("the new key is known already")
    successor = Device(
        id=identity,
        organisation_id=device.organisation_id,
        public_key=public_key,
        status=ACCEPTED,
        name=device.name,
        tags=list(device.tags),
        created_at=now(),
        desired_version=device.desired_version,
        release_id=device.release_id,
        overlay_id=device.overlay_id,
        settings=dict(device.settings),
    )
    session.add(successor)
    device.status, device.online = REVOKED, False
    move_tunnel(session, device.id, identity)
    audit.record(session, principal, "device.rotate", device.id, successor=identity)
    return successor
