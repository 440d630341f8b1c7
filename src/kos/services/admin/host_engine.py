"""Upgrades of a system that runs on this machine: the device's own engine on its run directory.

What is special about a run on this machine is said in `kos.device.upgrade.local`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
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
from kos.device.upgrade.local import adopt
from kos.services.admin.fetch import Source, base_url

PROGRESS_STEP = 0.05  # share of a download between two reports


class HostEngine:
    """The system in `directory`, managed from the server on `host`."""

    def __init__(self, directory: Path, host: str) -> None:
        self._host = host
        self._engine = adopt(directory)

    def facts(self) -> tuple[str, int]:
        """SHA-256 of the manifest that runs, and its generation."""
        found = self._engine.facts()
        return found["manifest"], found["generation"]

    def apply(self, desired: Desired, tell: Callable[[Update], None]) -> Update:
        """See `updates.Engine`."""
        assert desired.release is not None
        source = Source(base_url(desired.download, self._host), desired.token)
        update = Update(desired.version, UPDATE_DOWNLOADING)
        tell(update)
        manifest = source.read(desired.release, desired.size)
        missing = self._engine.offer(manifest, signatures_of(desired))
        total, done = sum(missing.values()) or 1, 0
        for digest, size in sorted(missing.items()):
            self._engine.take(digest, _counted(source.chunks(digest, size), update, done, total, tell))
            done += size
        return self._commit(update, tell)

    def _commit(self, update: Update, tell: Callable[[Update], None]) -> Update:
        outcome = replace(update, state=UPDATE_FAILED, reason="the device did not say how it ended")

        def hear(event: dict[str, Any]) -> None:
            nonlocal outcome
            match event["event"]:
                case "installed":
                    tell(replace(update, state=UPDATE_INSTALLED, progress=1.0))
                case "applied" if outcome.state != UPDATE_REVERTED:
                    tell(replace(update, state=UPDATE_BOOTED, progress=1.0))
                case "healthy":
                    outcome = replace(update, state=UPDATE_HEALTHY, progress=1.0)
                case "reverting":
                    outcome = replace(update, state=UPDATE_REVERTED, reason=str(event["reason"])[:4000])

        self._engine.commit(hear)
        return outcome


def signatures_of(desired: Desired) -> dict[str, bytes]:
    """The release's signatures as the engine wants them."""
    try:
        return {str(one["name"]): json.dumps(one["document"]).encode() for one in desired.signatures}
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
