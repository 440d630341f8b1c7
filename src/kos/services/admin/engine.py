"""Brings a device to what its server wants, with the device's own upgrade engine.

The engine judges signatures, stores and falls back; this module fetches what it lacks and tells the server
what it says. The same on a device and beside a system that runs on a developer's machine.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from kos.abi.errors import KosError
from kos.abi.session import (
    UPDATE_BOOTED,
    UPDATE_DOWNLOADING,
    UPDATE_FAILED,
    UPDATE_HEALTHY,
    UPDATE_INSTALLED,
    UPDATE_REVERTED,
    Desired,
    Update,
)
from kos.services.admin import delta
from kos.services.admin.engine_link import EngineLink
from kos.services.admin.fetch import Source, base_url
from kos.services.admin.updates import Facts

PROGRESS_STEP = 0.05  # share of a download between two reports
TRIAL_LOOK = 1.0  # seconds between two looks at a generation that is on trial
TRIAL_MAX = 300.0  # seconds


class DeviceEngine:
    """The upgrade engine behind `connect`; `host` is where the server is now."""

    def __init__(self, connect: Callable[[], socket.socket], host: Callable[[], str]) -> None:
        self._connect = connect
        self._host = host

    def facts(self) -> Facts:
        """See `updates.Engine`."""
        with self._link() as link:
            return _facts(link.ask("hello"))

    def outcome(self, desired: Desired) -> Update | None:
        """What became of `desired` when it was carried out before, perhaps before a restart."""
        deadline = time.monotonic() + TRIAL_MAX
        while True:
            with self._link() as link:
                said = link.ask("hello")
            update = _outcome(said, desired)
            if update is None or update.state != UPDATE_BOOTED or time.monotonic() > deadline:
                return update
            time.sleep(TRIAL_LOOK)

    def apply(self, desired: Desired, tell: Callable[[Update], None]) -> Update:
        """See `updates.Engine`."""
        assert desired.release is not None
        source = Source(base_url(desired.download, self._host()), desired.token)
        update = Update(desired.version, UPDATE_DOWNLOADING)
        tell(update)
        offer: dict[str, Any] = {
            "manifest": source.read(desired.release, desired.size).decode(),
            "signatures": signatures_of(desired.signatures),
            "ticket": str(desired.version),
        }
        if desired.overlay is not None:
            offer["overlay"] = source.read(desired.overlay.sha256, desired.overlay.size).decode()
            offer["overlay_signatures"] = signatures_of(desired.overlay.signatures)
        with self._link() as link:
            missing = link.ask("offer", **offer)["missing"]
            total, done = sum(missing.values()) or 1, 0
            for digest, size in sorted(missing.items()):
                chunks = _blob(link, source, digest, size)
                link.send(digest, size, _counted(chunks, update, done, total, tell))
                done += size
            outcome = _commit(link, update, tell)
            if outcome.state == UPDATE_HEALTHY:
                link.ask("collect")
        return outcome

    def _link(self) -> EngineLink:
        return EngineLink(self._connect())


def _facts(said: dict[str, Any]) -> Facts:
    overlay = said.get("overlay") or None
    return Facts(said["manifest"], said.get("base") or said["manifest"], overlay, said["generation"])


def _outcome(said: dict[str, Any], desired: Desired) -> Update | None:
    overlay = desired.overlay.sha256 if desired.overlay else ""
    if (said.get("base") or said["manifest"], said.get("overlay", "")) == (desired.release, overlay):
        state = UPDATE_HEALTHY if said["state"] == "good" else UPDATE_BOOTED
        return Update(desired.version, state, 1.0)
    for one in said.get("generations", []):
        wanted = (str(desired.version), desired.release, overlay)
        found = (one.get("ticket"), one.get("manifest"), one.get("overlay", ""))
        if found == wanted and one["state"] == "failed":
            return Update(desired.version, UPDATE_REVERTED, 0.0, one["reason"])
    return None


def _blob(link: EngineLink, source: Source, digest: str, size: int) -> Iterator[bytes]:
    """A blob, made from an older one where that saves bytes."""
    if delta.possible() and (found := source.difference(digest, size)) is not None:
        old, difference = found
        try:
            return iter([delta.patch(link.read(old), difference, size)])
        except KosError:
            pass  # the older blob is not here any more: the whole one then
    return source.chunks(digest, size)


def _commit(link: EngineLink, update: Update, tell: Callable[[Update], None]) -> Update:
    outcome = replace(update, state=UPDATE_FAILED, reason="the device did not say how it ended")
    for event in link.commit():
        match event["event"]:
            case "installed":
                installed = replace(update, state=UPDATE_INSTALLED, progress=1.0)
                tell(installed)
                if event.get("reboot"):
                    return installed  # the device starts anew and says the rest afterwards
            case "applied" if outcome.state != UPDATE_REVERTED:
                tell(replace(update, state=UPDATE_BOOTED, progress=1.0))
            case "healthy":
                outcome = replace(update, state=UPDATE_HEALTHY, progress=1.0)
            case "reverting":
                outcome = replace(update, state=UPDATE_REVERTED, reason=str(event["reason"])[:4000])
            case "failed":
                outcome = replace(outcome, reason=str(event["reason"])[:4000])
    return outcome


def signatures_of(documents: tuple[dict[str, Any], ...]) -> dict[str, str]:
    """Signatures as the engine wants them."""
    try:
        return {str(one["name"]): json.dumps(one["document"]) for one in documents}
    except KeyError as error:
        raise KosError("the server sent signatures in a form that is not known here") from error


def _counted(
    chunks: Iterator[bytes], update: Update, done: int, total: int, tell: Callable[[Update], None]
) -> Iterator[bytes]:
    told = done / total
    for chunk in chunks:
        done += len(chunk)
        if done / total - told >= PROGRESS_STEP:
            told = done / total
            tell(replace(update, progress=min(1.0, told)))
        yield chunk
