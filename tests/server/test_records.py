"""What devices keep until the server has it: each record once, in order, however long an outage is."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nats
import pytest
from sqlalchemy import select

from kos.abi.session import Event
from kos.server.core.bus.client import STREAM
from kos.server.core.bus.process import free_port
from kos.server.core.data.ingest import Document
from kos.server.core.db.models import DeviceEvent, IngestOffset, Point, Series
from kos.services.mqtt_relay.spool import POSITION, Spool
from tests.server.records import DEVICE, LossyWire, Mosquitto, relaying
from tests.server.running import PASSWORD, Server, running, wait_for

pytestmark = pytest.mark.group("server")

DAY = 1440  # one reading a minute
SIZE = 1 << 20
DEADLINE = 120.0


@pytest.fixture(autouse=True)
def tools() -> None:
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("needs mosquitto_sub: apt-get install mosquitto-clients")


def keep(folder: Path, values: range) -> None:
    """What the relay does with what an app publishes; then the power goes."""
    spool = Spool(folder, SIZE)
    for value in values:
        spool.append([("data.station.weather.temperature", str(value).encode())])
        if value % 100 == 0:
            spool.append([("event", Event("noted", "station", str(value), 0).to_bytes())])


def readings(server: Server) -> list[int]:
    """What the database has, in the order in which it came."""
    with server.services.database.read() as session:
        chosen = select(Point.value).join(Series, Series.id == Point.series_id).order_by(Point.id)
        return [
            int(value)
            for value in session.scalars(chosen.where(Series.name == "station/weather/temperature"))
        ]


def events(server: Server) -> list[int]:
    with server.services.database.read() as session:
        chosen = select(DeviceEvent.text).where(DeviceEvent.kind == "noted").order_by(DeviceEvent.id)
        return [int(text) for text in session.scalars(chosen)]


def offset(server: Server) -> int:
    with server.services.database.read() as session:
        row = session.get(IngestOffset, STREAM)
        return row.sequence if row else 0


def last_in_bus(server: Server) -> int:
    """The sequence of the last message that the bus has stored."""

    async def ask() -> int:
        url = f"nats://127.0.0.1:{server.bus_port}"
        client = await nats.connect(url, nkeys_seed_str=server.services.keys.server)
        try:
            return (await client.jetstream(timeout=60).stream_info(STREAM)).state.last_seq
        finally:
            await client.close()

    return asyncio.run(asyncio.wait_for(ask(), 60))


def settle(server: Server) -> None:
    """Until the database has all that the bus has."""
    wait_for(lambda: offset(server) == last_in_bus(server), "the database has what the bus has", DEADLINE)


def lose_acknowledgements(server: Server, folder: Path, wire: LossyWire, some: int) -> None:
    """Let `some` acknowledgements pass, lose those after them, and cut the device's power then."""
    wire.left, wire.lost = some, 0
    with relaying(folder, wire.port):
        wait_for(lambda: wire.lost, "a record whose acknowledgement is lost", DEADLINE)
    wire.left = None
    settle(server)


def test_a_day_is_replayed_once_and_in_order_whatever_is_lost(tmp_path: Path) -> None:
    folder, ports = tmp_path / "spool", [free_port("127.0.0.1") for _ in range(2)]
    options = {"auto_accept": True, "bus_port": ports[0], "mqtt_port": ports[1]}
    read: list[tuple[str, str]] = []
    repeated = 0
    keep(folder, range(DAY))
    with contextlib.ExitStack() as stack:
        wire = LossyWire(ports[0])
        stack.callback(wire.close)

        @contextlib.contextmanager
        def server_and_reader() -> Iterator[Server]:
            """A server that starts anew each time, and a reader that hears all that it says."""
            nonlocal repeated
            with running(tmp_path / "server", **options) as server:
                reader = Mosquitto(ports[1], "kos/data/default/#")
                try:
                    reader.wait_until_it_listens()
                    yield server
                    expected = len(readings(server))
                    wait_for(lambda: len(read) + len(reader.messages()) >= expected, "the reader has all")
                    read.extend(reader.messages())
                    repeated += server.services.ingest.repeated
                finally:
                    reader.close()

        for some in (100, 400):
            with server_and_reader() as server:
                lose_acknowledgements(server, folder, wire, some)
        # The end of the spool is torn off, and the device goes on with what apps publish then.
        newest = max(folder.glob("*.spool"))
        newest.write_bytes(newest.read_bytes()[:-1000])
        kept = waiting(folder)
        assert 0 < len(kept) < DAY - 400
        keep(folder, range(DAY, DAY + 100))
        with server_and_reader() as server:
            lose_acknowledgements(server, folder, wire, 300)
        # The device loses its count: all that is left of the spool comes again, under its old name.
        (folder / POSITION).unlink()
        keep(folder, range(DAY + 100, DAY + 200))
        with server_and_reader() as server:
            with relaying(folder, wire.port):
                wait_for(lambda: readings(server)[-1:] == [DAY + 199], "the end of the replay", DEADLINE)
            settle(server)
            stored, noted = readings(server), events(server)
    expected = [*range(kept[-1] + 1), *range(DAY, DAY + 200)]
    assert stored == expected
    assert noted == [value for value in expected if value % 100 == 0]
    topic = f"kos/data/default/{DEVICE}/station/weather/temperature"
    assert read == [(topic, str(value)) for value in expected]
    assert repeated > 3  # each lost acknowledgement made one; else nothing was tried here


def test_a_crash_between_readers_and_database_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers have a batch, and the database loses it: again and again."""
    folder = tmp_path / "spool"
    keep(folder, range(300))
    with running(tmp_path / "server", auto_accept=True, mqtt_port=free_port("127.0.0.1")) as server:
        process = server.services.process
        assert process is not None
        ingest, failures = server.services.ingest, []
        store = ingest.store

        def fail_at_first(documents: Sequence[Document]) -> dict[str, int]:
            if len(failures) < 5 and any(one.topic for one in documents):
                failures.append(len(documents))
                raise OSError("the database is away")
            return store(documents)

        monkeypatch.setattr(ingest, "store", fail_at_first)
        reader = Mosquitto(process.node.mqtt_port, "kos/data/default/#")
        try:
            reader.wait_until_it_listens()
            with relaying(folder, server.bus_port):
                wait_for(lambda: readings(server)[-1:] == [299], "the end of the replay", DEADLINE)
            wait_for(lambda: len(reader.messages()) >= 300, "the reader has all", DEADLINE)
            assert [int(value) for _, value in reader.messages()] == readings(server) == list(range(300))
        finally:
            reader.close()
        assert len(failures) == 5


def test_a_reader_needs_a_token_and_hears_its_own_organisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOS_SERVER_ADMIN_PASSWORD", PASSWORD)
    port = free_port("127.0.0.1")
    with running(tmp_path, product="fleet", mqtt_port=port) as server, contextlib.ExitStack() as stack:
        admin = server.login()

        def token(scope: str) -> dict[str, Any]:
            return admin.post("/api/v1/tokens", json={"name": "reader", "scopes": [scope]}).json()

        def reads(topic: str, password: str, says: str) -> Mosquitto:
            reader = Mosquitto(port, topic, password)
            stack.callback(reader.close)
            wait_for(lambda: any(says in line for line in reader.lines()), says, DEADLINE)
            return reader

        own, good = "kos/data/default/#", token("data.read")
        reads(own, "", "not authorised")
        reads(own, "kos_nonsense", "not authorised")
        reads(own, token("devices.read")["token"], "not authorised")
        reader = reads(own, good["token"], "Subscribed (mid: 1): 0")
        for topic in ("kos/data/#", "kos/data/other/#", "kos/d/+/up/data/#", "#", "kos/clean/default/#"):
            reads(topic, good["token"], "Subscribed (mid: 1): 128")
        admin.delete(f"/api/v1/tokens/{good['id']}").raise_for_status()
        wait_for(lambda: any("not authorised" in line for line in reader.lines()), "it is out", DEADLINE)


def waiting(folder: Path) -> list[int]:
    """The readings that a relay would find in the spool now."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    spool = Spool(copy, SIZE)
    found = []
    while (record := spool.take()) is not None:
        if record.kind != "event":
            found.append(int(record.payload))
    shutil.rmtree(copy)
    return found
