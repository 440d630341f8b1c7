"""Simulated devices of the tests: an event loop in a thread, so that tests stay plain functions."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from kos.services.admin.simulator import Behaviour, SimulatedDevice, fleet

DEADLINE = 90.0  # seconds for whatever a test asks of them


class Park:
    """Runs simulated devices."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.devices: list[SimulatedDevice] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name="devices")
        self._thread.start()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function where the devices live."""

        async def run() -> Any:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(DEADLINE)

    def add(
        self, count: int, port: int | list[int], behaviour: Behaviour | None = None, salt: str = ""
    ) -> list[SimulatedDevice]:
        """Start devices that connect to the bus on `port`."""

        def begin() -> list[SimulatedDevice]:
            made = fleet(count, "127.0.0.1", port, behaviour, salt)
            for device in made:
                device.start()
            return made

        made = self.call(begin)
        self.devices += made
        return made

    def close(self) -> None:
        self.call(lambda: [device.stop() for device in self.devices])

        async def settle() -> None:
            await asyncio.sleep(0.05)  # transports that were aborted close in the next turns of the loop
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await asyncio.get_running_loop().shutdown_default_executor()

        asyncio.run_coroutine_threadsafe(settle(), self.loop).result(DEADLINE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)
        self.loop.close()


@contextlib.contextmanager
def park() -> Iterator[Park]:
    made = Park()
    try:
        yield made
    finally:
        made.close()
