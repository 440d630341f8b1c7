"""The jobs that only one server process does at a time: ingest, presence, rollouts, retention."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from kos.server.core.db.away import is_away, reason
from kos.server.core.db.database import Database
from kos.server.core.lease import RENEW, acquire, release

log = logging.getLogger(__name__)

LEASE = "worker"
CANCEL_AGAIN = 1.0  # seconds
Job = Callable[[], Awaitable[None]]


class Worker:
    """Holds the lease and runs the jobs while it does."""

    def __init__(self, database: Database, holder: str, jobs: Sequence[Job]) -> None:
        self.database = database
        self.holder = holder
        self.jobs = jobs
        self.active = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self.active:
            try:
                await asyncio.to_thread(release, self.database, LEASE, self.holder)
            except Exception as error:  # then it runs out by itself
                log.warning("lease: %s", reason(error))

    async def _run(self) -> None:
        running: list[asyncio.Task[None]] = []
        try:
            while True:
                self.active = await self._hold()
                if self.active and not running:
                    log.info("this process does the background jobs now")
                    running = [asyncio.create_task(self._forever(job)) for job in self.jobs]
                elif running and not self.active:
                    await _end(running)
                    running = []
                await asyncio.sleep(RENEW)
        finally:
            await _end(running)

    async def _hold(self) -> bool:
        try:
            return await asyncio.to_thread(acquire, self.database, LEASE, self.holder)
        except Exception as error:  # the database is away: without it nobody may be sure of the lease
            log.warning("lease: %s", reason(error))
            return False

    async def _forever(self, job: Job) -> None:
        while True:
            try:
                await job()
                return
            except Exception as error:
                if is_away(error):
                    log.warning("a background job waits, the database is away: %s", reason(error))
                else:
                    log.exception("a background job failed; it starts anew")
                await asyncio.sleep(1.0)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: with Python 3.11, wait_for may lose a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN)
