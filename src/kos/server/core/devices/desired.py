"""What a device should be, as the document it gets; and the one place that changes it.

Each change raises `desired_version`; a device that has carried out a version never does it again.
"""

from __future__ import annotations

import hashlib
import hmac
import time

from sqlalchemy import select
from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.abi.session import HEARTBEAT_MIN, Desired, WantedOverlay, check_setting
from kos.manifest.overlay import lay_over
from kos.server.core.artifacts.store import BlobStore
from kos.server.core.db.models import Device, Overlay, Release
from kos.server.core.devices.identity import ACCEPTED
from kos.server.settings import Settings

EXPIRES_DIGITS = 12  # of the time in a token
TOKEN_LIFE = 7 * 24 * 3600  # seconds that a device may fetch what it was offered


class DownloadTokens:
    """Short-lived proofs that a device may download: made and checked without the database."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def issue(self, device: str) -> str:
        expires = int(time.time()) + TOKEN_LIFE
        return f"{device}.{expires}.{self._seal(device, expires)}"

    def check(self, token: str) -> str:
        """The device that a token was made for. Raises KosError."""
        device, _, rest = token.partition(".")
        expires, _, seal = rest.partition(".")
        plain = token.isascii() and expires.isdigit() and len(expires) <= EXPIRES_DIGITS
        if not plain or not hmac.compare_digest(seal, self._seal(device, int(expires))):
            raise KosError("not a download token of this server")
        if int(expires) < time.time():
            raise KosError("the download token has expired")
        return device

    def _seal(self, device: str, expires: int) -> str:
        text = f"kos download {device} {expires}".encode()
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()


def desired_document(session: Session, device: Device, settings: Settings, tokens: DownloadTokens) -> Desired:
    """The document for a device as the database stands."""
    if device.status != ACCEPTED:
        return Desired(version=0, accepted=False, heartbeat=settings.heartbeat)
    release = None if device.release_id is None else session.get(Release, device.release_id)
    overlay = None if device.overlay_id is None else session.get(Overlay, device.overlay_id)
    # What a person has set for this device counts more than what its overlay says.
    wanted = {**(overlay.document.get("settings", {}) if overlay else {}), **device.settings}
    heartbeat = wanted.pop("heartbeat", settings.heartbeat)
    return Desired(
        version=device.desired_version,
        release=release.manifest if release else None,
        size=release.manifest_size if release else 0,
        signatures=tuple(release.signatures) if release else (),
        overlay=(WantedOverlay(overlay.sha256, overlay.size, tuple(overlay.signatures)) if overlay else None),
        settings=wanted,
        # Never slower than the server takes for silence.
        heartbeat=min(max(float(heartbeat), HEARTBEAT_MIN), settings.heartbeat),
        download=f"{settings.public_url.rstrip('/') or f':{settings.port}'}/artifacts/",
        token=tokens.issue(device.id),
    )


def set_release(session: Session, device: Device, release: Release) -> None:
    """Want `release` on `device`.

    Raises:
        KosError: the release belongs to another organisation or is for another platform.
    """
    if release.organisation_id != device.organisation_id:
        raise KosError("no such release")
    if device.platform and release.platform and _platform(device.platform) != _platform(release.platform):
        raise KosError(
            f"release {release.system} {release.version} is for {release.platform}, "
            f"the device is {device.platform}",
            hint="build the system for the device's platform",
        )
    device.release_id = release.id
    _changed(session, device)


def set_overlay(
    session: Session, device: Device, overlay: Overlay | None, blobs: BlobStore, group_id: int | None = None
) -> None:
    """Lay `overlay` over the device's release; None takes it away. `group_id`: it is that group's overlay.

    Raises:
        KosError: it does not fit the release, or the device's release is not known here.
    """
    if overlay is not None:
        if overlay.organisation_id != device.organisation_id:
            raise KosError("no such overlay")
        release = _release_of(session, device)
        lay_over(blobs.read(release.manifest), blobs.read(overlay.sha256))
        device.release_id = release.id
    device.overlay_id = None if overlay is None else overlay.id
    device.overlay_group_id = None if overlay is None else group_id
    _changed(session, device)


def _release_of(session: Session, device: Device) -> Release:
    """The release that a device is to have, else the one that it runs."""
    chosen = select(Release).where(Release.organisation_id == device.organisation_id)
    if device.release_id is not None:
        chosen = chosen.where(Release.id == device.release_id)
    else:
        chosen = chosen.where(Release.manifest == device.running)
    found = session.scalar(chosen)
    if found is None:
        raise KosError(
            "an overlay lies over a release, and what this device runs was never uploaded",
            hint="kos-tool server.upload_release, then upgrade the device to it",
        )
    return found


def set_settings(session: Session, device: Device, settings: dict[str, object]) -> None:
    """Replace the settings that the device gets. Raises KosError for one that devices do not know."""
    device.settings = {name: check_setting(name, value) for name, value in settings.items()}
    _changed(session, device)


def _platform(text: str) -> str:
    return text.partition(",")[0]


def _changed(session: Session, device: Device) -> None:
    device.desired_version += 1
    session.flush()
