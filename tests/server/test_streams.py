"""Streams from a server's WebSocket to a real app: carried, bounded, audited, ended, refused."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from kos.abi.errors import KosError
from kos.abi.stream import WINDOW
from kos.device.control import ControlClient
from kos.server.api import streams
from kos.server.core.auth.permissions import ROLES
from kos.tool.remote_shell import RemoteShell, run_all
from kos.tool.streams import open_remote
from tests.device.systems import RunningSystem
from tests.server import real
from tests.server.running import DEADLINE, Server, wait_for

pytestmark = pytest.mark.group("server")

Device = tuple[Server, RunningSystem, str]


@pytest.fixture(scope="module")
def device(studio: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Studio, a system that it manages, and the id of the device."""
    with real.device(tmp_path_factory.mktemp("device"), studio.bus_port) as system, studio.client() as client:
        wait_for(lambda: client.get(system.path).is_success, "the device appears")
        system.wait_for("pump 1.0 turns")
        yield studio, system, system.id


def socket(
    server: Server, device: str, app: str = "pump", kind: str = "shell", **headers: str
) -> ClientConnection:
    address = f"{server.url.replace('http', 'ws')}/api/v1/devices/{device}/streams/{kind}/{app}"
    return connect(address, additional_headers=headers, open_timeout=DEADLINE, compression=None)


def said(one: ClientConnection) -> dict[str, Any]:
    """The next text message."""
    while isinstance(message := one.recv(timeout=DEADLINE), bytes):
        pass
    return json.loads(message)


@contextlib.contextmanager
def opened(server: Server, device: str) -> Iterator[ClientConnection]:
    """A shell that is open. That the reader before has left, the app may hear a moment later."""
    end = time.monotonic() + DEADLINE
    while True:
        with socket(server, device) as one:
            if "open" in (first := said(one)):
                yield one
                return
            assert "is looked into already" in first["closed"] and time.monotonic() < end, first


def test_which_apps_are_open(device: Device) -> None:
    studio, _, identity = device
    with studio.client() as client:
        found = client.get(f"/api/v1/devices/{identity}/streams").json()
    assert found == {"pump": {"kind": "shell", "running": True, "who": None, "allowed": True}}


def test_a_variable_is_changed_through_the_server(device: Device) -> None:
    studio, system, _identity = device
    stream = open_remote(studio.url, system.name, "shell", "pump")
    printed: list[str] = []
    shell = RemoteShell(stream, printed.append)
    run_all(shell, ["speed", "speed = 99", "def twice(x):", "  return 2 * x", "", "print(twice(speed))"])
    assert shell.complete("spe") == ["speed"]
    stream.close()
    assert "".join(printed) == "12\n198\n"
    system.wait_for("pump: shell: speed = 99")
    system.wait_for("pump: a shell of developer (studio) was closed: the reader left")
    with studio.client() as client:
        audit = client.get("/api/v1/audit").json()
    entries = {entry["action"]: entry["detail"] for entry in audit if "stream" in entry["action"]}
    assert entries["device.stream.open"] == {"app": "pump", "kind": "shell"}
    assert entries["device.stream.close"]["reason"] == "the reader left"
    assert entries["device.stream.close"]["sent"] > 50


@pytest.mark.parametrize(
    ("app", "kind", "reason"),
    [
        ("steady", "shell", "the manifest does not open steady to a shell"),
        ("pump", "gdb", "pump cannot have a debugger"),
        ("nobody", "shell", "there is no app 'nobody'"),
        ("log_server", "shell", "log_server cannot have a shell"),
    ],
)
def test_what_the_manifest_does_not_say_is_refused(device: Device, app: str, kind: str, reason: str) -> None:
    studio, _, identity = device
    with socket(studio, identity, app, kind) as one:
        refusal = said(one)
        assert refusal["closed"] == reason and refusal["hint"]
    with pytest.raises(KosError, match=reason):
        open_remote(studio.url, identity, kind, app)


def test_no_such_device(device: Device) -> None:
    with socket(device[0], "0" * 32) as one:
        assert said(one)["closed"] == "no such device"


def test_another_site_cannot_open_one(device: Device) -> None:
    studio, _, identity = device
    with pytest.raises(InvalidStatus, match="403"):
        socket(studio, identity, Origin="http://elsewhere.example")


def test_one_reader_and_no_more(device: Device) -> None:
    studio, system, identity = device
    with opened(studio, identity):
        with socket(studio, identity) as two:
            assert said(two)["closed"] == "pump is looked into already, by developer (studio)"
        with ControlClient(system.directory) as client, pytest.raises(KosError, match="already, by"):
            client.stream("shell", "pump", "somebody here")


def run(one: ClientConnection, line: str) -> None:
    one.send(json.dumps({"run": line}).encode() + b"\n")


def test_a_reader_that_does_not_read_is_not_flooded(device: Device) -> None:
    studio, _, identity = device
    with opened(studio, identity) as one:
        run(one, "for n in range(100): print('flood', n)")
        run(one, "")
        run(one, "print('x' * 200_000)")
        received, wait = 0, DEADLINE
        with contextlib.suppress(TimeoutError):
            while True:  # without a grant, never more than the window: then it is silent
                message = one.recv(timeout=wait)
                received += len(message) if isinstance(message, bytes) else 0
                wait = 1.0 if received > WINDOW - 20_000 else DEADLINE
        assert WINDOW - 20_000 < received <= WINDOW
        one.send(json.dumps({"more": received}))
        while received < 200_000:
            message = one.recv(timeout=DEADLINE)
            if isinstance(message, bytes):
                received += len(message)
                one.send(json.dumps({"more": len(message)}))


def test_nonsense_ends_it(device: Device) -> None:
    studio, _, identity = device
    for message in ("{", '{"more": -1}', '{"more": true}', "[" * 100_000, bytes(WINDOW + 1)):
        with opened(studio, identity) as one:
            one.send(message)
            while "closed" not in (last := said(one)):
                pass
            assert last["closed"].startswith("the reader: ")
            with pytest.raises(ConnectionClosed):
                one.recv(timeout=DEADLINE)


def test_the_app_is_restarted_during_a_session(device: Device) -> None:
    studio, system, identity = device
    with opened(studio, identity) as one, studio.client() as client:
        client.post(f"/api/v1/devices/{identity}/restart", json={"app": "pump"}).raise_for_status()
        assert said(one)["closed"].startswith("the app ended: ")
    system.wait_for("pump 1.0 turns", times=2)


def test_only_an_admin_debugs(fleet: Server) -> None:
    assert [role for role, may in ROLES.items() if "devices.debug" in may] == ["admin"]
    assert [role for role, may in ROLES.items() if "devices.operate" in may] == [
        "operator",
        "deployer",
        "admin",
    ]
    with pytest.raises(InvalidStatus, match="403"):
        socket(fleet, "0" * 32)  # nobody
    admin = fleet.login()
    for scope, kind, admitted in (
        ("devices.operate", "shell", False),
        ("devices.operate", "gdb", False),
        ("devices.operate", "console", True),
        ("devices.read", "console", False),
        ("devices.debug", "shell", True),
    ):
        made = admin.post("/api/v1/tokens", json={"name": "t", "scopes": [scope]}).json()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        if admitted:
            with socket(fleet, "0" * 32, kind=kind, **bearer) as one:
                assert said(one)["closed"] == "no such device"
        else:
            with pytest.raises(InvalidStatus, match="403"):
                socket(fleet, "0" * 32, kind=kind, **bearer)


def test_a_token_that_is_revoked_ends_its_session(
    fleet: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CHECK_EVERY", 0.1)
    admin = fleet.login()
    made = admin.post("/api/v1/tokens", json={"name": "t", "scopes": ["devices.debug"]}).json()
    with real.device(tmp_path, fleet.bus_port) as system:
        wait_for(lambda: admin.get(system.path).is_success, "the device appears")
        admin.post(f"{system.path}/accept").raise_for_status()
        wait_for(lambda: admin.get(system.path).json()["apps"].get("pump"), "it reports")
        with socket(fleet, system.id, Authorization=f"Bearer {made['token']}") as one:
            assert "open" in said(one)
            admin.delete(f"/api/v1/tokens/{made['id']}").raise_for_status()
            assert "closed" in said(one)
        system.wait_for("pump: a shell of ")
        system.wait_for("was closed: the reader left")
