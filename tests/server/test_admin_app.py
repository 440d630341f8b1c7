"""The admin app as an app: in its sandbox, its key in the key store, through the tunnel and the gateway."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path

import pytest

from kos.abi.services import PORT_ETHERNET, PORT_INTERNET, PORT_KEY_STORE, PORT_LOG
from kos.abi.session import BUS_PORT
from kos.keys import pairs
from kos.network.namespaces import in_namespace
from tests.device.systems import RunningSystem, install
from tests.network import lab
from tests.network.lab import GatewayProcess, Wire
from tests.network.test_host_system import service
from tests.server.running import running, wait_for

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
            "msg0": {port: {"role": "client"} for port in (PORT_LOG, PORT_KEY_STORE, PORT_INTERNET)}
        }
        install(
            directory,
            {
                "ethernet": service("ethernet", PORT_ETHERNET, resources=network),
                "log": service("log", PORT_LOG),
                "key_store": service(
                    "keystore",
                    PORT_KEY_STORE,
                    resources=[{"type": "keys"}],
                    config={"access": {"admin": {"server": ["public", "sign"]}}},
                ),
                "tunnel": service(
                    "tunnel",
                    PORT_INTERNET,
                    [PORT_ETHERNET, PORT_LOG],
                    resources=network,
                    config={"tunnel_settings": settings, "allow": {"admin": [f"tcp {GATEWAY} {BUS_PORT}"]}},
                ),
                "admin": admin,
            },
            {"msg0": [PORT_ETHERNET, PORT_INTERNET, PORT_LOG, PORT_KEY_STORE]},
        )
        manifest = json.loads((directory / "manifest.json").read_text())
        address = {"address": "10.90.1.2", "mask": "255.255.0.0", "gateway": GATEWAY}
        manifest["options"] = {"tunnel_ips": {"admin": address}}
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
            assert system.stop() == 0
