"""Who is connected: from the bus' notices of connections that end, corrected by silence."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

from nats.aio.msg import Msg
from sqlalchemy import select, update

from kos.server.core.bus.client import Bus
from kos.server.core.data.points import PointWriter
from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, now
from kos.server.core.live import Live
from kos.server.settings import Settings

log = logging.getLogger(__name__)

SILENT_HEARTBEATS = 3.5  # heartbeats without a report after which a device counts as offline
CHECK_EVERY = 1.0  # seconds


class Presence:
    """Runs beside the ingest, in the process that holds the lease."""

    def __init__(
        self, settings: Settings, database: Database, bus: Bus, live: Live, heard: Callable[[], int]
    ) -> None:
        self.heard = heard
        self.settings = settings
        self.database = database
        self.bus = bus
        self.live = live
        self._connections: dict[str, set[tuple[str, int]]] = {}
        self._gone: set[str] = set()
        self.points = PointWriter()

    async def run(self) -> None:
        """Until cancelled."""
        system = self.bus.system
        subscriptions = [
            await system.subscribe("$SYS.ACCOUNT.KOS.CONNECT", cb=self._on_connect),
            await system.subscribe("$SYS.ACCOUNT.KOS.DISCONNECT", cb=self._on_disconnect),
        ]
        try:
            while True:
                await asyncio.sleep(CHECK_EVERY)
                gone, self._gone = self._gone, set()
                try:
                    left = await asyncio.to_thread(self._sweep, gone)
                except Exception:
                    # Told to nobody yet: the next look tells of those that have not come back since.
                    self._gone |= gone - self._connections.keys()
                    raise
                for device, organisation in left.items():
                    await self.live.tell(organisation, "device", device=device)
        finally:
            for subscription in subscriptions:
                await subscription.unsubscribe()

    async def _on_connect(self, message: Msg) -> None:
        event = json.loads(message.data)
        client = event["client"]
        if device := client.get("user"):
            self._connections.setdefault(device, set()).add((event["server"]["id"], client["id"]))
            self._gone.discard(device)

    async def _on_disconnect(self, message: Msg) -> None:
        event = json.loads(message.data)
        client = event["client"]
        if device := client.get("user"):
            ours = self._connections.get(device, set())
            ours.discard((event["server"]["id"], client["id"]))
            if not ours:
                self._connections.pop(device, None)
                self._gone.add(device)

    def _sweep(self, gone: set[str]) -> dict[str, int]:
        """Mark as offline those that left and those that are silent; says whom a page would show anew."""
        # Nobody is silent whose words wait to be read: after the database was away, or behind a crowd.
        silent = self.heard() - int(self.settings.heartbeat * SILENT_HEARTBEATS * 1000)
        with self.database.read() as session:
            chosen = select(Device.id, Device.organisation_id).where(
                Device.online, Device.id.in_(gone) | (Device.last_seen_at < silent)
            )
            found = dict(session.execute(chosen).all())
        if found:
            with self.database.write() as session:
                session.execute(update(Device).where(Device.id.in_(found)).values(online=False))
                self.points.write(session, [(device, "device/online", now(), 0.0) for device in found])
        return found
