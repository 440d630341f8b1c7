"""A real PostgreSQL is stopped and started under a running server; the bus of another one stands still."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import response_headers_conformance
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from starlette.routing import Route
from websockets.sync.client import connect

from kos.abi import nkey
from kos.server.core.bus.client import STREAM
from kos.server.core.data.presence import SILENT_HEARTBEATS
from kos.server.core.db.away import is_away, reason
from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, Organisation, now
from kos.server.core.problems import MEDIA_TYPE, RETRY_AFTER
from kos.server.web.pages import PAGES
from kos.services.admin.simulator import SimulatedDevice, fleet
from kos.services.admin.state import clock_ms
from tests.server import postgres
from tests.server.devices import Park
from tests.server.running import DEADLINE, PASSWORD, Server, running, wait_for
from tests.server.test_openapi import CHECKS, DOCUMENT, ROUTES

pytestmark = pytest.mark.group("server")

# They answer without the database, or refuse before they need it: no identity provider is set up.
WITHOUT = {"/healthz", "/oidc/login", "/oidc/callback", "/login"}
PLACES = {"device_id": "ab" * 16, "tab": "data", "release_id": "1", "rollout_id": "1"}
PATHS = sorted(
    route.path.format(**PLACES)
    for one in PAGES
    for route in one.routes
    if isinstance(route, Route) and route.path not in WITHOUT
)
HEARTBEAT = 1.5  # seconds: who is silent for 3.5 of them is offline; a busy machine may be so for one or two
DEVICES = 3
POINTS = 20  # of each device, while the database is away


@dataclass
class Installation:
    server: Server
    database: postgres.Instance
    client: httpx.Client

    def messages(self) -> int:
        """How many documents devices have sent to the bus."""
        bus = self.server.services.bus
        assert bus._loop is not None
        asked = asyncio.run_coroutine_threadsafe(bus.client.jetstream().stream_info(STREAM), bus._loop)
        return asked.result(60).state.last_seq

    def recovered(self) -> None:
        """Wait until it serves again, and has read what was sent meanwhile."""
        wait_for(lambda: self.client.get("/readyz").is_success, "the server is ready")
        at = clock_ms()
        wait_for(lambda: self.server.services.ingest.known_until > at, "all that was sent is stored")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    if postgres.find("initdb") is None:
        pytest.skip("needs postgresql: apt-get install postgresql")
    with pytest.MonkeyPatch.context() as patch, postgres.instance() as database:
        patch.setenv("KOS_SERVER_ADMIN_PASSWORD", PASSWORD)
        folder, options = tmp_path_factory.mktemp("away"), {"product": "fleet", "heartbeat": HEARTBEAT}
        with running(folder, database=database.url, **options) as server:
            yield Installation(server, database, server.login())


def refused(answer: Any) -> bool:
    """It is the one error of a database that is away, in the one shape."""
    # Schemathesis keeps a list for each name.
    headers = {name: one[0] if isinstance(one, list) else one for name, one in answer.headers.items()}
    return (
        answer.status_code == 503
        and headers["retry-after"] == str(RETRY_AFTER)
        and headers["content-type"] == MEDIA_TYPE
        and "database" in answer.json()["detail"]
    )


def test_every_route_says_so_and_recovers(installation: Installation) -> None:
    client, url = installation.client, installation.server.url
    before = {path: client.get(path).status_code for path in PATHS}
    strange: list[str] = []
    document = schemathesis.openapi.from_dict(DOCUMENT)

    def ask(path: str, method: str) -> None:
        operation = document[path][method.upper()]

        @settings(
            max_examples=1,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        def run(case: schemathesis.Case) -> None:
            headers = {"x-csrf-token": client.headers["x-csrf-token"]}
            answer = case.call(base_url=url, headers=headers, cookies=dict(client.cookies), timeout=DEADLINE)
            case.validate_response(answer, checks=[*CHECKS, response_headers_conformance])
            if not refused(answer):
                strange.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")

        run()

    with installation.database.away():
        for path, method in ROUTES:
            if path not in WITHOUT:
                ask(path, method)
        for path in PATHS:
            page = client.get(path, headers={"accept": "text/html"})
            told = "<h1>The database is away</h1>" in page.text and 'href="/static/kos.css"' in page.text
            if page.status_code != 503 or not told or page.headers["retry-after"] != str(RETRY_AFTER):
                strange.append(f"{path}: {page.status_code} {page.text[:200]}")
        alive = client.get("/healthz")
    assert not strange, "\n".join(strange)
    assert alive.is_success, "the process lives all the same"
    installation.recovered()
    assert {path: client.get(path).status_code for path in PATHS} == before


def test_sessions_of_devices_are_held(installation: Installation, devices: Park) -> None:
    """Who is connected stays so and loses nothing; who comes meanwhile is let in as soon as it is back."""
    client, port = installation.client, installation.server.bus_port
    announced = [
        {"public_key": nkey.encode(one.identity.public_key), "name": one.name}
        for one in (
            *fleet(DEVICES, "127.0.0.1", port, None, "held"),
            *fleet(1, "127.0.0.1", port, None, "late"),
        )
    ]
    client.post("/api/v1/keys", json={"keys": announced}).raise_for_status()
    begin = clock_ms()
    made = devices.add(DEVICES, port, salt="held")
    wait_for(lambda: all(one.joined.is_set() for one in made), "the devices join")
    paths = [f"/api/v1/devices/{one.id}" for one in made]
    wait_for(lambda: all(client.get(path).json().get("online") for path in paths), "they are seen")
    base = clock_ms()
    with installation.database.away():
        (late,) = devices.add(1, port, salt="late")
        # What they measure, and for longer than a device may be silent, by their own heartbeats.
        enough = installation.messages() + DEVICES * (POINTS + 5)
        devices.call(lambda: [measure(one, base) for one in made])
        wait_for(lambda: installation.messages() >= enough, "the devices go on")
        assert refused(client.get(paths[0]))
        assert not late.joined.is_set()
    installation.recovered()
    wait_for(lambda: late.joined.is_set(), "the late one is let in")
    assert [one.joins for one in made] == [1] * DEVICES, "no session was lost"
    for path in paths:
        wait_for(lambda path=path: client.get(path).json()["online"], "it is seen")
        taken_for_offline = "device/online" in client.get(f"{path}/series").json()
        # A busy machine keeps a device silent for that long itself: the times of its reports say so.
        query = {"series": "device/healthy", "begin": begin, "end": clock_ms() + 1}
        reported = client.get(f"{path}/points", params=query).json()["times"]
        silent = max(b - a for a, b in itertools.pairwise([*reported, clock_ms()]))
        assert not taken_for_offline or silent > 1000 * SILENT_HEARTBEATS * HEARTBEAT, "nobody was offline"
        query = {"series": "away/number", "begin": base, "end": base + POINTS}
        found = client.get(f"{path}/points", params=query).json()["values"]
        assert found == [float(number) for number in range(POINTS)], "what came meanwhile is there, and once"


def measure(device: SimulatedDevice, base: int) -> None:
    for number in range(POINTS):
        device.measure([("away/number", base + number, float(number))])


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT nothing", False),
        ("SELECT 1/0", False),
        ("SELECT pg_terminate_backend(pg_backend_pid())", True),
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(60)", True),
    ],
)
def test_a_mistake_of_ours_is_none_of_the_database(
    installation: Installation, statement: str, expected: bool
) -> None:
    with pytest.raises(DBAPIError) as raised, installation.server.services.database.read() as session:
        session.execute(text(statement))
    assert is_away(raised.value) is expected and "SELECT" not in reason(raised.value)


def test_a_locked_file_is_away_and_a_missing_table_is_not(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(DBAPIError) as raised, database.read() as session:
        session.execute(text("SELECT * FROM nothing"))
    assert not is_away(raised.value)
    second = contextlib.closing(sqlite3.connect(tmp_path / "x.db", timeout=0))
    with database.write() as session, second as other:
        session.execute(text("SELECT 1"))
        with pytest.raises(sqlite3.OperationalError) as locked:
            other.execute("BEGIN IMMEDIATE")
    assert is_away(DBAPIError("BEGIN", {}, locked.value))
    database.close()


def test_nobody_is_silent_whose_words_wait_to_be_read(tmp_path: Path) -> None:
    with running(tmp_path, auto_accept=True, workers=0) as server:
        services = server.services
        with services.database.write() as session:
            long_ago = now() - 3_600_000
            device = Device(
                id="ab" * 16,
                organisation_id=session.scalars(select(Organisation.id)).one(),
                public_key="x",
                status="accepted",
                name="old pump",
                created_at=long_ago,
                online=True,
                last_seen_at=long_ago,
            )
            session.add(device)
        presence = services.presence
        for read_until, gone in (
            (0, {}),
            (long_ago + 1000, {}),
            (now(), {device.id: device.organisation_id}),
        ):
            services.ingest.known_until = read_until
            assert presence._sweep(set()) == gone


def test_a_stream_to_an_app_says_so(installation: Installation) -> None:
    client, server = installation.client, installation.server
    url = f"ws://127.0.0.1:{server.settings.port}/api/v1/devices/{'ab' * 16}/streams/shell/pump"
    headers = {"Cookie": f"kos_session={client.cookies['kos_session']}"}
    with installation.database.away(), connect(url, additional_headers=headers) as socket:
        assert json.loads(socket.recv(60))["closed"] == "the database is away"
    installation.recovered()


def test_a_bus_that_stands_still_is_not_ready(fleet: Server) -> None:
    process = fleet.services.process
    assert process is not None and process.process is not None
    with fleet.client() as client:
        wait_for(lambda: client.get("/readyz").is_success, "it is ready")
        process.process.send_signal(signal.SIGSTOP)
        try:
            answer = client.get("/readyz")
            assert answer.status_code == 503 and answer.json()["detail"] == "the bus does not answer"
            assert answer.headers["retry-after"] == str(RETRY_AFTER)
            assert client.get("/healthz").is_success, "the process lives all the same"
        finally:
            process.process.send_signal(signal.SIGCONT)
        wait_for(lambda: client.get("/readyz").is_success, "it is ready again")


def test_a_connection_in_use_is_closed_when_it_comes_back(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    connection = database.engine.connect()
    driver = connection.connection.dbapi_connection
    assert driver is not None
    database.close()
    driver.execute("SELECT 1")
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        driver.execute("SELECT 1")
