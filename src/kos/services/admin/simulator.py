"""Simulated devices over the real protocol: the same session as a device's, thousands in one process.

For tests, benchmarks and trying a Fleet Server out. They run no apps; what becomes of an update is said by a
`Behaviour`. `python -m kos.services.admin.simulator --count 100` runs some until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import random
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from kos.abi.errors import KosError
from kos.abi.session import (
    BUS_PORT,
    UP_CONSOLE,
    UP_TELEMETRY,
    UPDATE_BOOTED,
    UPDATE_DOWNLOADING,
    UPDATE_FAILED,
    UPDATE_HEALTHY,
    UPDATE_INSTALLED,
    UPDATE_REVERTED,
    AppState,
    Console,
    Desired,
    Hello,
    Reply,
    Report,
    Request,
    Telemetry,
    Update,
)
from kos.services.admin.backoff import Backoff
from kos.services.admin.identity import from_seed
from kos.services.admin.main import parse_address
from kos.services.admin.session import CLOSED, JOINED, Session
from kos.services.admin.state import clock_ms

FETCH_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class Behaviour:
    """How a simulated device takes an update.

    Attributes:
        step: seconds that each step of an update takes.
        verdict: told the release's digest; "healthy", "reverted", "failed", or "silent": it disappears.
        fetch: download the manifest over HTTP, as a device does.
    """

    step: float = 0.05
    verdict: Callable[[str], str] = field(default=lambda _release: UPDATE_HEALTHY)
    fetch: bool = False


class SimulatedDevice(asyncio.Protocol):
    """One device. `start` connects it; it reconnects by itself until `stop`."""

    def __init__(
        self,
        seed: bytes,
        host: str,
        port: int | Sequence[int],
        name: str = "",
        behaviour: Behaviour | None = None,
    ) -> None:
        self.identity = from_seed(seed)
        self.host, self.name = host, name
        # Of a cluster's nodes, or of one; the next one is tried when a connection ends.
        self._ports = itertools.cycle([port] if isinstance(port, int) else port)
        self.behaviour = behaviour or Behaviour()
        self.boot = hashlib.sha256(seed + time.time_ns().to_bytes(8, "big")).hexdigest()[:12]
        self.generation = 1
        self.release: str | None = None
        self.overlay: str | None = None
        self.update = Update()
        self.installs = 0  # how often it took an update: nobody may be updated twice
        self.joins = 0
        self.session = Session(
            self.identity.public_key, self.identity.sign, self._hello, self._report, self.boot
        )
        self.joined = asyncio.Event()
        self._done = 0
        self._backoff = Backoff(source=random.Random(seed))
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def id(self) -> str:
        return self.session.device

    def start(self) -> None:
        self._stopped = False
        self._spawn(self._connect())

    def stop(self) -> None:
        """Go silent."""
        self._stopped = True
        self.joined.clear()
        if self._timer is not None:
            self._timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        if self._transport is not None:
            self._transport.abort()

    def say(self, lines: list[tuple[float, str, str]]) -> None:
        """Console lines."""
        self.session.send(UP_CONSOLE, Console(self.boot, tuple(lines)).to_bytes(), self._now())
        self._flush()

    def measure(self, points: list[tuple[str, int, float]]) -> None:
        """Points of time series."""
        self.session.send(UP_TELEMETRY, Telemetry(clock_ms(), tuple(points)).to_bytes(), self._now())
        self._flush()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.session.opened(self._now())
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.session.receive(data, self._now()):
                if isinstance(event, Desired):
                    self._wanted(event)
                else:
                    self._asked(event)
        except KosError:
            self._drop()
            return
        self._flush()

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self.session.closed()
        self.joined.clear()
        if not self._stopped:
            self._spawn(self._connect(self._backoff.wait()))

    # --- inside -------------------------------------------------------------------------------------------
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _spawn(self, work) -> None:  # type: ignore[no-untyped-def]
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, wait: float = 0.0) -> None:
        await asyncio.sleep(wait)
        while not self._stopped:
            try:
                await asyncio.get_running_loop().create_connection(lambda: self, self.host, next(self._ports))
                return
            except OSError:
                await asyncio.sleep(self._backoff.wait())

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self._transport is None:
            return
        if data := self.session.take_output():
            self._transport.write(data)
        if self._timer is not None:
            self._timer.cancel()
        if self.session.state != CLOSED:
            self._timer = asyncio.get_running_loop().call_at(self.session.deadline(), self._tick)

    def _tick(self) -> None:
        try:
            self.session.tick(self._now())
        except KosError:
            self._drop()
            return
        self._flush()

    def _hello(self) -> Hello:
        return Hello(self.boot, "host", "simulated", "simulator", self.name, True, clock_ms())

    def _report(self, number: int) -> Report:
        apps = {name: AppState("running", 0, 4 << 20) for name in ("log_server", "sensor", "station")}
        metrics = {"memory_used": 5e7, "load": 0.1}
        return Report(
            self.boot,
            number,
            clock_ms(),
            generation=self.generation,
            release=self.release,
            overlay=self.overlay,
            update=self.update,
            apps=apps,
            metrics=metrics,
        )

    def _asked(self, request: Request) -> None:
        self.session.reply(request, Reply(request.id, True, {"method": request.method}))

    def _wanted(self, desired: Desired) -> None:
        self._backoff.reset()
        if self.session.state == JOINED and not self.joined.is_set():
            self.joins += 1
            self.joined.set()
        if desired.version <= self._done or not desired.accepted:
            return
        self._done = desired.version
        self._spawn(self._carry_out(desired))

    async def _carry_out(self, desired: Desired) -> None:
        update = Update(desired.version, UPDATE_HEALTHY)
        overlay = desired.overlay.sha256 if desired.overlay else None
        if desired.release is None or desired.release == self.release:
            self.overlay = overlay
            self._tell(update)
            return
        self.installs += 1
        try:
            self._tell(replace(update, state=UPDATE_DOWNLOADING))
            if self.behaviour.fetch:
                await asyncio.to_thread(self._fetch, desired)
            verdict = self.behaviour.verdict(desired.release)
            for state in (UPDATE_INSTALLED, UPDATE_BOOTED):
                await asyncio.sleep(self.behaviour.step)
                self._tell(replace(update, state=state))
            await asyncio.sleep(self.behaviour.step)
        except (OSError, KosError) as error:
            self._tell(replace(update, state=UPDATE_FAILED, reason=str(error)))
            return
        if verdict == "silent":
            self.stop()
        elif verdict == UPDATE_HEALTHY:
            self.release, self.generation, self.overlay = desired.release, self.generation + 1, overlay
            self._tell(update)
        else:
            reason = "self_test failed: sensor does not answer"
            self._tell(
                replace(update, state=verdict, reason=reason if verdict == UPDATE_REVERTED else "disk full")
            )

    def _fetch(self, desired: Desired) -> None:
        base = f"http://{self.host}{desired.download}" if desired.download[0] == ":" else desired.download
        request = urllib.request.Request(
            f"{base}sha256/{desired.release}", headers={"Authorization": f"Bearer {desired.token}"}
        )
        with urllib.request.urlopen(request, timeout=FETCH_TIMEOUT) as answer:
            data = answer.read(desired.size + 1)
        if hashlib.sha256(data).hexdigest() != desired.release:
            raise KosError("the manifest that came is not the one that was wanted")

    def _tell(self, update: Update) -> None:
        self.update = update
        self.session.changed(self._now())
        self._flush()


def fleet(
    count: int, host: str, port: int | Sequence[int], behaviour: Behaviour | None = None, salt: str = ""
) -> list[SimulatedDevice]:
    """Devices with keys that follow from `salt`: the same ones each time."""
    seeds = [hashlib.sha256(f"simulated {salt} {number}".encode()).digest() for number in range(count)]
    return [
        SimulatedDevice(seed, host, port, f"sim-{number:05d}", behaviour) for number, seed in enumerate(seeds)
    ]


async def _main(count: int, host: str, port: int) -> None:
    devices = fleet(count, host, port)
    for device in devices:
        device.start()
        await asyncio.sleep(0.001)
    try:
        began = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            at = time.monotonic() - began
            for device in devices:
                if device.joined.is_set():
                    device.measure([("sensor/temperature", clock_ms(), round(random.gauss(21, 1), 2))])
                    device.say([(at, "sensor", f"temperature is {random.gauss(21, 1):.2f}")])
    finally:
        for device in devices:
            device.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulated devices for trying a Fleet Server out.")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--server", default=f"127.0.0.1:{BUS_PORT}", metavar="HOST:PORT")
    arguments = parser.parse_args()
    host, port = parse_address(arguments.server)
    try:
        asyncio.run(_main(arguments.count, host, port))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
