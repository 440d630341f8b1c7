"""The admin app as an app: in its sandbox, its key in the key store, through the tunnel and the gateway."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path

import httpx
import pytest

from kos.abi.services import (
    PORT_ETHERNET,
    PORT_INTERNET,
    PORT_KEY_STORE,
    PORT_LOG,
    PORT_TRACE,
    PORT_TRACE_ADMIN,
)
from kos.abi.session import BUS_PORT
from kos.keys import pairs
from kos.network.namespaces import in_namespace
from tests.device.systems import RunningSystem, install
from tests.network import lab
from tests.network.lab import GatewayProcess, Wire
from tests.network.test_host_system import service
from tests.server.running import running, wait_for
from tests.tracing.running import traced, tracer

pytestmark = pytest.mark.group("network")

GATEWAY = "10.90.0.1"


class Forward:
    """A port in a namespace that leads to a port of ours: a socket stays where it was made."""

    def __init__(self, namespace: int, port: int) -> None:
        self._listener = in_namespace(namespace, lambda: socket.create_server(("127.0.0.1", 0)))
        self.port = self._listener.getsockname()[1]
        self._target = port
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=[source, target], daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()


def test_the_admin_app_reaches_its_server(tmp_path: Path) -> None:
    lab.require_tools()
    with lab.closing_all() as things, running(tmp_path / "server", auto_accept=True) as server:
        wire = Wire()
        things.append(wire.close)
        forward = Forward(wire.gateway, server.bus_port)
        things.append(forward.close)
        bus = f"bus={BUS_PORT}:127.0.0.1:{forward.port}"
        gateway = GatewayProcess(wire, tmp_path / "gateway", user=False, services=[bus])
        things.append(gateway.stop)
        directory = tmp_path / "system"
        directory.mkdir()
        public = pairs.generate(directory / "keys", sorted(pairs.DEVICE_KEYS.items()))
        gateway.allow({"device-1": (public["tunnel"], ["10.90.1.2/32"])})
        settings = {"peer_endpoint": f"{lab.GATEWAY_ADDRESS}:51820", "peer_public_key": gateway.public_key}
        network = [{"type": "network"}]
        admin = service(
            "admin", PORT_LOG, resources=[{"type": "supervisor"}], config={"name": "behind a tunnel"}
        )
        admin["access"] = {
            "msg0": {
                port: {"role": "client"}
                for port in (PORT_LOG, PORT_KEY_STORE, PORT_INTERNET, PORT_TRACE_ADMIN)
            }
        }
        install(
            directory,
            {
                "ethernet": service("ethernet", PORT_ETHERNET, resources=network),
                "log": service("log", PORT_LOG),
                "key_store": traced(
                    service(
                        "keystore",
                        PORT_KEY_STORE,
                        resources=[{"type": "keys"}],
                        config={"access": {"admin": {"server": ["public", "sign"]}}},
                    )
                ),
                "tunnel": service(
                    "tunnel",
                    PORT_INTERNET,
                    [PORT_ETHERNET, PORT_LOG],
                    resources=network,
                    config={"tunnel_settings": settings, "allow": {"admin": [f"tcp {GATEWAY} {BUS_PORT}"]}},
                ),
                "admin": traced(admin),
                "trace_server": tracer(),
            },
            {
                "msg0": [
                    PORT_ETHERNET,
                    PORT_INTERNET,
                    PORT_LOG,
                    PORT_KEY_STORE,
                    PORT_TRACE,
                    PORT_TRACE_ADMIN,
                ]
            },
        )
        manifest = json.loads((directory / "manifest.json").read_text())
        address = {"address": "10.90.1.2", "mask": "255.255.0.0", "gateway": GATEWAY}
        manifest["options"] = {"tunnel_ips": {"admin": address}, "tracing": True}
        (directory / "manifest.json").write_text(json.dumps(manifest))
        with in_namespace(wire.device, lambda: RunningSystem(directory)) as system, server.client() as client:
            system.wait_for("connected to the server")
            wait_for(lambda: client.get("/api/v1/devices").json()["total"], "the device is there")
            (device,) = client.get("/api/v1/devices").json()["devices"]
            path = f"/api/v1/devices/{device['id']}"
            wait_for(
                lambda: client.get(path).json()["apps"].get("admin", {}).get("state") == "running",
                "it reports",
            )
            assert client.get(path).json()["name"] == "behind a tunnel"
            assert system.status()["server_connected"], "what server_check waits for"
            client.post(f"{path}/restart", json={"app": "log"}).raise_for_status()
            # The admin app's own calls of the trace server are what there is to see.
            wait_for_event(client, path, "call kos_trace_admin_protocol 2")
            assert system.stop() == 0


def wait_for_event(client: httpx.Client, path: str, name: str) -> None:
    """Returns once the time line that Studio shows has an event of that name."""
    seen: set[str] = set()
    with client.stream("GET", f"{path}/trace", timeout=90) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            if line.startswith("data: ") and '"events"' in line:
                events = json.loads(line.removeprefix("data: "))["events"]
                seen |= {one["name"] for one in events}
                if name in seen:
                    return
    raise AssertionError(f"the trace ended without {name!r}; it had {sorted(seen)}")
