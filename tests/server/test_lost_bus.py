"""The bus loses its data, or its stream for readers fails: what devices send is stored, and once."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import DiscardPolicy

from kos.server.core.bus.client import DATA_STREAM, StreamFacts
from kos.server.core.bus.process import free_port
from kos.server.core.data import outlet
from kos.server.core.data.progress import Progress, resumed
from tests.server.records import LossyWire, Mosquitto, relaying
from tests.server.running import Server, running, wait_for
from tests.server.test_records import DEADLINE, keep, last_in_bus, offset, readings, settle, tools

pytestmark = pytest.mark.group("server")
__all__ = ["tools"]


@pytest.mark.parametrize(
    ("seen", "facts", "found"),
    [
        (Progress(), StreamFacts("a", 0), Progress(0, "a")),
        (Progress(7, ""), StreamFacts("a", 9), Progress(7, "a")),  # of a release that did not write it down
        (Progress(7, ""), StreamFacts("a", 3), Progress(3, "a")),
        (Progress(7, "a"), StreamFacts("a", 9), Progress(7, "a")),
        (Progress(7, "a"), StreamFacts("a", 3), Progress(3, "a")),  # it lost its end
        (Progress(7, "a"), StreamFacts("b", 9), Progress(0, "b")),
        (Progress(7, "a"), StreamFacts("b", 3), Progress(0, "b")),
    ],
)
def test_where_to_go_on(seen, facts, found):
    assert resumed(seen, facts) == found


def store_of(server: Server) -> Path:
    process = server.services.process
    assert process is not None
    return process.node.store


def replay(server: Server, folder: Path, port: int, last: int) -> None:
    with relaying(folder, port):
        wait_for(lambda: readings(server)[-1:] == [last], "the end of the replay", DEADLINE)


def test_a_bus_whose_data_is_wiped_while_the_server_is_down(tmp_path: Path) -> None:
    folder, bus_port = tmp_path / "spool", free_port("127.0.0.1")
    options = {"auto_accept": True, "bus_port": bus_port, "mqtt_port": free_port("127.0.0.1")}
    wire = LossyWire(bus_port)
    try:
        keep(folder, range(200))
        with running(tmp_path / "server", **options) as server:
            # It has more than the device knows of, which will send that again.
            wire.left = 150
            with relaying(folder, wire.port):
                wait_for(lambda: wire.lost, "a record whose acknowledgement is lost", DEADLINE)
            wire.left = None
            settle(server)
            had, before, store = readings(server), offset(server), store_of(server)
            assert len(had) > 100
        shutil.rmtree(store)
        keep(folder, range(200, 300))
        with running(tmp_path / "server", **options) as server:
            reader = Mosquitto(options["mqtt_port"], "kos/data/default/#")
            try:
                reader.wait_until_it_listens()
                replay(server, folder, wire.port, 299)
                settle(server)
                assert readings(server) == list(range(300))
                assert 0 < last_in_bus(server) < before  # else nothing was tried here
                rest = [str(value) for value in range(len(had), 300)]
                wait_for(lambda: len(reader.messages()) >= len(rest), "the reader has all", DEADLINE)
                assert [value for _, value in reader.messages()] == rest
            finally:
                reader.close()
            assert server.services.ingest.repeated > 0
    finally:
        wire.close()


def test_a_bus_whose_data_is_wiped_under_the_server(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    keep(folder, range(100))
    with running(tmp_path / "server", auto_accept=True, bus_port=free_port("127.0.0.1")) as server:
        replay(server, folder, server.bus_port, 99)
        settle(server)
        process = server.services.process
        assert process is not None and process.process is not None
        store_of(server).rename(tmp_path / "gone")
        os.kill(process.process.pid, signal.SIGKILL)
        keep(folder, range(100, 150))
        replay(server, folder, server.bus_port, 149)
        settle(server)
        assert readings(server) == list(range(150))


def with_bus(server: Server, work: Callable[[Any], Awaitable[object]]) -> None:
    """Do something to the bus' streams as the server's own user."""

    async def run() -> None:
        url = f"nats://127.0.0.1:{server.bus_port}"
        client = await nats.connect(url, nkeys_seed_str=server.services.keys.server)
        try:
            await work(client.jetstream(timeout=60))
        finally:
            await client.close()

    asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.parametrize("trouble", ["full", "gone"])
def test_a_stream_of_readers_that_fails_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """The database has all; readers get what comes once it works again."""
    monkeypatch.setattr(outlet, "PATIENCE", 0.0)
    monkeypatch.setattr(outlet, "PAUSE", 0.0)
    folder, port = tmp_path / "spool", free_port("127.0.0.1")
    with running(tmp_path / "server", auto_accept=True, mqtt_port=port) as server:
        if trouble == "full":
            with_bus(server, functools.partial(resize, size=1, discard=DiscardPolicy.NEW))
        else:
            with_bus(server, lambda streams: streams.delete_stream(DATA_STREAM))
        keep(folder, range(50))
        reader = Mosquitto(port, "kos/data/default/#")
        try:
            reader.wait_until_it_listens()
            replay(server, folder, server.bus_port, 49)
            settle(server)
            assert readings(server) == list(range(50))
            if trouble == "full":
                assert server.services.ingest.outlet.missed == 50
                with_bus(server, functools.partial(resize, size=1 << 20, discard=DiscardPolicy.OLD))
            keep(folder, range(50, 80))
            replay(server, folder, server.bus_port, 79)
            expected = list(range(50 if trouble == "full" else 0, 80))
            wait_for(lambda: len(reader.messages()) >= len(expected), "the reader has all", DEADLINE)
            assert [int(value) for _, value in reader.messages()] == expected
            assert readings(server) == list(range(80))
        finally:
            reader.close()


async def resize(streams: Any, size: int, discard: DiscardPolicy) -> None:
    config = (await streams.stream_info(DATA_STREAM)).config
    config.max_bytes, config.discard = size, discard
    await streams.update_stream(config)
