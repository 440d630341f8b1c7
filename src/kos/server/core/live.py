"""Tells open pages that something changed, whichever server process noticed it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from nats.aio.msg import Msg

from kos.server.core.bus.client import Bus

ROOT = "kos.live"
WAITING_MAX = 256  # notices that a slow page may lag behind; then it misses some and asks anew


class Live:
    """Notices below `kos.live.<organisation>.<topic>`; devices cannot read or write there."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def tell(self, organisation_id: int, topic: str, **detail: Any) -> None:
        body = json.dumps({"topic": topic, **detail}).encode()
        await self.bus.client.publish(f"{ROOT}.{organisation_id}.{topic}", body)

    @contextlib.asynccontextmanager
    async def listen(self, *subjects: str) -> AsyncIterator[asyncio.Queue[Msg]]:
        """A bounded queue of what arrives on some subjects while the context is open."""
        queue: asyncio.Queue[Msg] = asyncio.Queue(WAITING_MAX)

        async def take(message: Msg) -> None:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

        subscriptions = [await self.bus.client.subscribe(subject, cb=take) for subject in subjects]
        await self.bus.settle()  # what is sent from now on must arrive
        try:
            yield queue
        finally:
            for subscription in subscriptions:
                with contextlib.suppress(Exception):
                    await subscription.unsubscribe()
