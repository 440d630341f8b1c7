"""What is put right now and then: overlays of groups, blobs that nobody needs.

Runs in the process that holds the lease.
"""

from __future__ import annotations

import asyncio
import time

from sqlalchemy import select

from kos.server.core.artifacts.store import BlobStore
from kos.server.core.db.database import Database
from kos.server.core.db.models import Artifact
from kos.server.core.devices.sessions import Sessions
from kos.server.core.live import Live
from kos.server.core.overlays import settle_groups

GROUPS_EVERY = 2.0  # seconds
BLOBS_EVERY = 3600.0
BLOB_AGE = 24 * 3600.0  # seconds: a younger file may belong to an upload that is under way


async def settle(database: Database, blobs: BlobStore, sessions: Sessions, live: Live) -> None:
    """Bring devices to the overlays of their groups, until cancelled."""
    while True:
        for device, organisation in await asyncio.to_thread(_settle, database, blobs):
            await sessions.push_desired([device])
            await live.tell(organisation, "device", device=device)
        await asyncio.sleep(GROUPS_EVERY)


def _settle(database: Database, blobs: BlobStore) -> list[tuple[str, int]]:
    with database.write() as session:
        return settle_groups(session, blobs)


async def clean(database: Database, blobs: BlobStore) -> None:
    """Remove files that no row names, until cancelled."""
    while True:
        await asyncio.to_thread(sweep, database, blobs)
        await asyncio.sleep(BLOBS_EVERY)


def sweep(database: Database, blobs: BlobStore, age: float = BLOB_AGE) -> int:
    """One look; says how many files went."""
    with database.read() as session:
        named = set(session.scalars(select(Artifact.sha256)))
    count = 0
    for path in blobs.files():
        old = path.stat().st_mtime < time.time() - age
        if old and not all(part in named for part in path.name.split("-")):
            path.unlink(missing_ok=True)
            count += 1
    return count
