"""What a device should be, as the document it gets; and the one place that changes it.

Each change raises `desired_version`; a device that has carried out a version never does it again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time

from sqlalchemy.orm import Session

from kos.abi.errors import KosError
from kos.abi.session import HEARTBEAT_MIN, Desired
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
    heartbeat = device.settings.get("heartbeat", settings.heartbeat)
    return Desired(
        version=device.desired_version,
        release=release.manifest if release else None,
        size=release.manifest_size if release else 0,
        signatures=tuple(release.signatures) if release else (),
        overlay=(
            {"sha256": overlay.sha256, "document": overlay.document, "signatures": overlay.signatures}
            if overlay
            else None
        ),
        settings={key: value for key, value in device.settings.items() if key != "heartbeat"},
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


def set_overlay(session: Session, device: Device, overlay: Overlay | None) -> None:
    """Lay `overlay` over the device's release; None takes it away."""
    if overlay is not None and overlay.organisation_id != device.organisation_id:
        raise KosError("no such overlay")
    device.overlay_id = None if overlay is None else overlay.id
    _changed(session, device)


def set_settings(session: Session, device: Device, settings: dict[str, object]) -> None:
    """Replace the settings that the device gets. At most 16 KiB as JSON."""
    if len(json.dumps(settings)) > 16 * 1024:
        raise KosError("settings of more than 16 KiB")
    device.settings = settings
    _changed(session, device)


def _platform(text: str) -> str:
    return text.partition(",")[0]


def _changed(session: Session, device: Device) -> None:
    device.desired_version += 1
    session.flush()
