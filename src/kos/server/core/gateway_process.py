"""Runs the gateway as a child: starts it, keeps its list of devices as the database says, ends it with us.

The gateway has rights over the network that the server must not have; all it is told is a file of devices.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from kos.abi.errors import KosError
from kos.abi.session import BUS_PORT, MQTT_PORT
from kos.network.wireguard import encode_key
from kos.server.core.child import end
from kos.server.core.db.database import Database
from kos.server.core.devices.tunnels import allowed
from kos.server.settings import Settings

log = logging.getLogger(__name__)

START_TIMEOUT = 30.0  # seconds
ANSWER_TIMEOUT = 10.0
RESTART_DELAY = 1.0
LINE_MAX = 64 << 20  # bytes of one line of the gateway: the status of 100,000 devices
FOLLOW_SECONDS = 2.0  # between two looks at the database: another server process may have changed it


def services_of(settings: Settings, bus: tuple[str, int], mqtt_port: int) -> list[str]:
    """What devices reach through the gateway, as `server.gateway --service` has it.

    The bus and MQTT are at the ports where devices look for them when nothing else is said, whatever port
    they really have; downloads are at the port that the server tells devices.

    Raises:
        KosError: a port is at ::1, where devices could not be told from the people of this machine.
    """
    host, bus_host = (_reachable(each) for each in (settings.host, bus[0]))
    if "::1" in (host, bus_host):
        raise KosError("a server at ::1 cannot have a gateway", hint="listen on 127.0.0.1 instead")
    found = [f"bus={BUS_PORT}:{bus_host}:{bus[1]}", f"web={settings.port}:{host}:{settings.port}"]
    if mqtt_port > 0:
        found.append(f"mqtt={MQTT_PORT}:{bus_host}:{mqtt_port}")
    return found


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::", "localhost") else host


class GatewayProcess:
    """One supervised `kos-tool server.gateway`.

    Attributes:
        ready: what it said when it was ready: `public_key`, `port`, `address`, `services`; {} before.
    """

    def __init__(self, settings: Settings, database: Database, services: list[str]) -> None:
        self.ready: dict[str, Any] = {}
        self._settings = settings
        self._database = database
        self._services = services
        self._devices = settings.data / "run" / "gateway-devices.json"
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._asking = asyncio.Lock()

    def changed(self) -> None:
        """Devices may have changed: look now, and not only when it is time."""
        self._changed.set()

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            KosError: it ended, or was not ready in time.
        """
        self._devices.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(self._write)
        await self._launch()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._follow())]

    async def stop(self) -> None:
        """End it and wait for it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await end(self._process)

    async def status(self) -> dict[str, Any]:
        """Its devices, counters and connections, now.

        Raises:
            KosError: it does not answer.
        """
        async with self._asking:
            if self._process is None or self._process.returncode is not None:
                raise KosError("the gateway is being started again")
            while not self._answers.empty():
                self._answers.get_nowait()
            self._process.send_signal(signal.SIGUSR1)
            try:
                return await asyncio.wait_for(self._answers.get(), ANSWER_TIMEOUT)
            except TimeoutError:
                raise KosError("the gateway does not answer") from None

    async def _launch(self) -> None:
        settings = self._settings
        settings.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [sys.executable, "-m", "kos.tool", "server.gateway"]
        command += ["--devices", str(self._devices), "--key", str(settings.keys / "gateway.key")]
        command += ["--address", settings.gateway_address, "--port", str(settings.gateway_port)]
        for service in self._services:
            command += ["--service", service]
        # It must not outlive a server that was killed.
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "TERM", *command]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=LINE_MAX,
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        try:
            async with asyncio.timeout(START_TIMEOUT):
                line = await self._process.stdout.readline()
                said = b"" if line else await self._process.stderr.read()
        except TimeoutError:
            self._process.kill()
            raise KosError(f"the gateway was not ready within {START_TIMEOUT:.0f} s") from None
        if not line:
            await self._process.wait()
            text = said.decode(errors="replace").strip().removeprefix("error: ")
            raise KosError(f"the gateway did not start: {text or 'it said nothing'}")
        self.ready = json.loads(line)

    async def _watch(self) -> None:
        """Read what it says; start it again when it ends."""
        while True:
            assert self._process is not None and self._process.stdout is not None
            errors = asyncio.create_task(self._read_errors(self._process))
            while line := await self._process.stdout.readline():
                self._heard(json.loads(line))
            code = await self._process.wait()
            await errors
            log.error("gateway ended with %s, starting it again", code)
            while not await self._launched_again():
                pass

    async def _launched_again(self) -> bool:
        await asyncio.sleep(RESTART_DELAY)
        try:
            await self._launch()
        except KosError as error:
            log.error("%s", error)
            return False
        return True

    @staticmethod
    async def _read_errors(process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            log.warning("gateway: %s", line.decode(errors="replace").rstrip())

    def _heard(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "status":
                self._answers.put_nowait(event)
            case "refused":
                log.error("gateway: %s", event["error"])
            case name:
                log.info("gateway: %s %s", name, event)

    async def _follow(self) -> None:
        """Tell it of every change, at the latest after `FOLLOW_SECONDS`."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), FOLLOW_SECONDS)
            self._changed.clear()
            try:
                await asyncio.to_thread(self._write)
            except Exception:
                # The database may be away for a while; the gateway goes on with whom it knows.
                log.exception("the gateway's devices cannot be read")

    def _write(self) -> None:
        """The file of devices, where it is not as it should be."""
        with self._database.read() as session:
            peers = allowed(session)
        table = {
            peer.device: {
                "public_key": encode_key(peer.public_key),
                "addresses": [str(network) for network in peer.addresses],
            }
            for peer in peers
        }
        text = json.dumps(table)
        if self._devices.is_file() and self._devices.read_text() == text:
            return
        unfinished = Path(f"{self._devices}.{os.getpid()}")
        unfinished.write_text(text)
        unfinished.replace(self._devices)
