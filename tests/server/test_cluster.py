"""Three bus nodes, two server processes, PostgreSQL: any one may die during a rollout and ingest."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kos.abi import nkey
from kos.server.core.bus.config import Cluster, Node, render
from kos.server.core.bus.keys import load_or_create
from kos.server.core.bus.process import find_nats_server, free_port
from kos.services.admin.simulator import Behaviour
from kos.services.admin.simulator import fleet as simulated
from kos.services.admin.state import clock_ms
from tests.server import postgres
from tests.server.archives import archive
from tests.server.devices import Park
from tests.server.receivers import Received, hook
from tests.server.running import DEADLINE, PASSWORD, wait_for

pytestmark = [pytest.mark.group("server"), pytest.mark.timeout(1200)]

DEVICES = 9
BASE = clock_ms()  # not long ago: what is old is removed
POINTS = 40  # of each device before and again after something dies


def ended(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Installation:
    """All processes of one installation; each can be killed."""

    def __init__(self, folder: Path, database: postgres.Instance, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.database = database
        self.stack = stack
        self.bus_ports = [free_port("127.0.0.1") for _ in range(3)]
        self.http_ports = [free_port("127.0.0.1") for _ in range(2)]
        self.nodes = [self._node(number) for number in range(3)]
        self.servers = [self._server(port) for port in self.http_ports]

    def _start(self, command: list[str], name: str, **environ: str) -> subprocess.Popen[bytes]:
        log = self.stack.enter_context((self.folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environ})
        self.stack.callback(ended, process)
        return process

    def _node(self, number: int) -> subprocess.Popen[bytes]:
        if number == 0:
            self._cluster_ports = [free_port("127.0.0.1") for _ in range(3)]
        keys = load_or_create(self.folder / "data" / "keys")
        routes = tuple(f"nats://127.0.0.1:{port}" for port in self._cluster_ports)
        cluster = Cluster("kos", self._cluster_ports[number], routes)
        store = self.folder / f"bus-{number}"
        node = Node(f"n{number}", "127.0.0.1", self.bus_ports[number], store, cluster=cluster)
        config = self.folder / f"bus-{number}.conf"
        config.write_text(render(node, keys))
        return self._start([str(find_nats_server()), "-c", str(config)], f"bus-{number}")

    def _server(self, port: int) -> subprocess.Popen[bytes]:
        urls = ",".join(f"nats://127.0.0.1:{one}" for one in self.bus_ports)
        command = [sys.executable, "-m", "kos.tool", "server.start", "--fleet", "--port", str(port)]
        command += ["--data", str(self.folder / "data"), "--database", self.database.url, "--bus-url", urls]
        environ = {"KOS_SERVER_BUS_REPLICAS": "3", "KOS_SERVER_ADMIN_PASSWORD": PASSWORD}
        environ["KOS_SERVER_NOTIFY_PRIVATE"] = "127.0.0.1/32"
        return self._start(command, f"server-{port}", KOS_SERVER_HEARTBEAT="2", **environ)

    def client(self, number: int) -> httpx.Client:
        """A client of one server, logged in."""
        url = f"http://127.0.0.1:{self.http_ports[number]}"
        client = self.stack.enter_context(httpx.Client(base_url=url, timeout=90))

        def ready() -> bool:
            assert self.servers[number].poll() is None, (
                self.folder / f"server-{self.http_ports[number]}.log"
            ).read_text()[-3000:]
            try:
                return client.get("/readyz").is_success
            except httpx.TransportError:
                return False

        wait_for(ready, "the server is ready")
        login = {"email": "admin@localhost", "password": PASSWORD}
        client.post("/api/v1/login", json=login).raise_for_status()
        page = client.get("/").text
        client.headers["x-csrf-token"] = page.partition('name="csrf" content="')[2].partition('"')[0]
        return client

    def leader(self, clients: list[httpx.Client]) -> int:
        """The server that does the background jobs."""

        def find() -> list[int]:
            found = []
            for number, client in enumerate(clients):
                if (
                    self.servers[number].poll() is None
                    and "kos_worker_active 1" in client.get("/metrics").text
                ):
                    found.append(number)
            return [number + 1 for number in found]

        return wait_for(find, "a server does the background jobs")[0] - 1


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    if postgres.find("initdb") is None:
        pytest.skip("needs postgresql: apt-get install postgresql")
    with contextlib.ExitStack() as stack, postgres.instance() as database:
        stack.callback(shutil.rmtree, tmp_path / "data", True)
        with contextlib.ExitStack() as processes:
            yield Installation(tmp_path, database, processes)


def measure(devices: Park, made: list[Any], begin: int) -> None:
    def send() -> None:
        for device in made:
            for number in range(begin, begin + POINTS):
                device.measure([("cluster/number", BASE + number, float(number))])

    devices.call(send)


def stored(client: httpx.Client, device: str) -> list[float]:
    query = {"series": "cluster/number", "begin": BASE, "end": BASE + 1000}
    return client.get(f"/api/v1/devices/{device}/points", params=query).json()["values"]


@pytest.mark.parametrize("victim", ["leading-server", "other-server", "bus-node", "database"])
def test_any_one_may_die(installation: Installation, devices: Park, tmp_path: Path, victim: str) -> None:
    clients = [installation.client(0), installation.client(1)]
    behaviour = Behaviour(step=0.3)
    announced = [
        {"public_key": nkey.encode(one.identity.public_key), "name": one.name}
        for one in simulated(DEVICES, "127.0.0.1", 1, behaviour, "cluster")
    ]
    assert clients[0].post("/api/v1/keys", json={"keys": announced}).status_code == 201
    made = devices.add(DEVICES, installation.bus_ports, behaviour, "cluster")
    wait_for(lambda: all(device.joined.is_set() for device in made), "all devices join")
    query = {"query": "platform:host online:true", "limit": 1}
    wait_for(
        lambda: clients[1].get("/api/v1/devices", params=query).json()["total"] == DEVICES, "all are seen"
    )
    release = clients[0].post("/api/v1/releases", content=archive(tmp_path, "2.0").read_bytes()).json()
    plan = {"phases": ["3", "100%"], "parallel": 2, "device_timeout": 200}
    body = {"name": "cluster", "release_id": release["id"], "plan": plan}
    rollout = clients[1].post("/api/v1/rollouts", json=body).json()
    path = f"/api/v1/rollouts/{rollout['id']}"
    measure(devices, made, 0)
    wait_for(lambda: clients[0].get(path).json()["counts"].get("healthy"), "the rollout moves")

    leader = installation.leader(clients)
    left = clients[leader]
    match victim:
        case "leading-server":
            installation.servers[leader].kill()
            left = clients[1 - leader]
        case "other-server":
            installation.servers[1 - leader].kill()
        case "bus-node":
            installation.nodes[0].kill()
        case "database":
            installation.database.kill_and_start()
    measure(devices, made, POINTS)

    done = wait_for(lambda: (found := left.get(path).json())["state"] == "done" and found, "it finishes", 240)
    assert done["counts"] == {"healthy": DEVICES}
    assert [device.installs for device in made] == [1] * DEVICES, "no device was updated twice"
    wait_for(lambda: not any(device.session.waiting for device in made), "all is acknowledged")
    for device in made:
        wait_for(
            lambda device=device: len(stored(left, device.id)) >= 2 * POINTS,
            "every acknowledged point is stored",
        )
        assert stored(left, device.id) == [float(number) for number in range(2 * POINTS)], "and none twice"


def test_a_notification_outlives_the_server_that_sends_it(installation: Installation) -> None:
    """Killed between the request and its answer, then the database too: the other server repeats this one
    message under its id, and no other twice.
    """
    clients = [installation.client(0), installation.client(1)]
    leader = installation.leader(clients)
    left = clients[1 - leader]
    arrived, dead = threading.Event(), threading.Event()
    with hook() as far_end:

        def answer(_request: Received) -> int:
            arrived.set()
            dead.wait(DEADLINE)
            return 204

        far_end.answer = answer
        body = {"name": "ops", "kind": "webhook", "target": far_end.url}
        number = left.post("/api/v1/notifications/channels", json=body).json()["id"]
        test = f"/api/v1/notifications/channels/{number}/test"
        left.post(test).raise_for_status()
        assert arrived.wait(DEADLINE), "the leader sends it"
        for _ in range(3):
            left.post(test).raise_for_status()
        installation.servers[leader].kill()
        installation.servers[leader].wait()
        installation.database.kill_and_start()
        dead.set()

        def all_sent() -> bool:
            answer = left.get("/api/v1/notifications/deliveries")
            return answer.is_success and [one["state"] for one in answer.json()] == ["sent"] * 4

        wait_for(all_sent, "the other server sends what is left", 240)
        ids = far_end.ids()
        assert ids[:2] == [ids[0]] * 2, "the first one is repeated under its id"
        events = [event["id"] for one in far_end.received[1:] for event in json.loads(one.body)["events"]]
        assert len(events) == len(set(events)) == 4, "and nothing else is"
