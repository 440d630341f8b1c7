"""Turns many small blocking jobs into few: what arrives while one batch runs makes up the next one."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from kos.server.core.db.away import is_away, reason

log = logging.getLogger(__name__)

In = TypeVar("In")
Out = TypeVar("Out")

WAITING_MAX = 20_000  # jobs; beyond it callers are refused, so that memory stays bounded


class Batcher(Generic[In, Out]):
    """Calls `handle` in a thread with a list of inputs; it returns as many results in the same order.

    After `life` seconds in the queue nobody waits for a result any more: such a job is left out, or a storm
    would be answered too late from its first second to its last.
    """

    def __init__(
        self, handle: Callable[[Sequence[In]], Sequence[Out]], size: int = 256, life: float = math.inf
    ) -> None:
        self._handle = handle
        self._size = size
        self._life = life
        self._queue: asyncio.Queue[tuple[float, In, asyncio.Future[Out]]] = asyncio.Queue(WAITING_MAX)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def submit(self, value: In) -> Out:
        """Wait for the result of one input. Raises QueueFull under overload, TimeoutError after its life."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Out] = loop.create_future()
        self._queue.put_nowait((loop.time(), value, future))
        return await future

    async def _run(self) -> None:
        while True:
            waiting = [await self._queue.get()]
            while len(waiting) < self._size and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            batch = []
            oldest = asyncio.get_running_loop().time() - self._life
            for since, value, future in waiting:
                if since >= oldest:
                    batch.append((value, future))
                elif not future.done():
                    future.set_exception(TimeoutError("too late for an answer"))
            if batch:
                await self._answer(batch)

    async def _answer(self, batch: Sequence[tuple[In, asyncio.Future[Out]]]) -> None:
        try:
            results = await asyncio.to_thread(self._handle, [value for value, _ in batch])
        except Exception as error:
            if is_away(error):
                log.warning("batch of %d waits, the database is away: %s", len(batch), reason(error))
            else:
                log.exception("batch of %d failed", len(batch))
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
