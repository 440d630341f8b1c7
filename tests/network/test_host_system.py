"""A whole system on the `host` platform, with real sandboxes and services, whose app reaches a real
gateway.
"""

from __future__ import annotations

import json

import pytest

from kos.abi.services import PORT_ETHERNET, PORT_INTERNET, PORT_KEY_STORE, PORT_LOG
from kos.network.namespaces import in_namespace
from tests.device.systems import RunningSystem, app, install
from tests.network import lab
from tests.network.lab import EchoServer, GatewayProcess, KeyPair, Wire

pytestmark = pytest.mark.group("network")

STATION = """
import json, os, socket
from kos import app
from kos.abi.services import INTERNET_COUNTERS, INTERNET_STATUS

def interfaces():
    with open("/proc/net/dev") as file:
        return sorted(line.split(":")[0].strip() for line in file.readlines()[2:])

def main():
    app.ready()
    tunnel = app.connect("kos_internet_protocol")
    import time
    while not tunnel.call(INTERNET_STATUS).param:
        time.sleep(0.05)
    status = json.loads(tunnel.call(INTERNET_STATUS).payload)
    print("status", status["state"], status["address"], status["gateway"], flush=True)
    with socket.create_connection((status["gateway"], 7), timeout=80) as c:
        c.sendall(b"hello from an app")
        print("echo", c.recv(100).decode(), c.getsockname()[0], flush=True)
    print("name", socket.gethostbyname("echo.kos"), flush=True)
    counters = json.loads(tunnel.call(INTERNET_COUNTERS).payload)
    print("counted", counters["sent"][0] > 0, counters["destination"][0], flush=True)
    caps = [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")]
    print("capabilities", set(caps), flush=True)
    print("interfaces", interfaces(), flush=True)
    try:
        open("/proc/sys/net/ipv4/ip_forward", "w")
    except OSError as error:
        print("settings", error.strerror, flush=True)
    while True:
        time.sleep(60)
"""
# Everything that an app could try, and at last the one thing that ends it.
ATTACKER = """
import errno, socket, time
from kos import app

def attempt(family, kind, address, seconds=3):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(seconds)
            s.connect(address)
            if kind == socket.SOCK_DGRAM:
                s.send(b"x")
                s.recv(1)
            return "answered"
    except OSError as error:
        return errno.errorcode.get(error.errno, "silence")

def main():
    app.ready()
    four, six, tcp, udp = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
    tunnel = app.connect("kos_internet_protocol")
    while not tunnel.call(1).param:
        time.sleep(0.05)
    for name, *how in (
        ("allowed", four, tcp, ("10.90.0.1", 7), 80),
        ("neighbour", four, tcp, ("10.90.1.2", 80)),
        ("hub", four, udp, ("192.0.0.8", 53)),
        ("local network", four, tcp, ("192.0.2.20", 80)),
        ("host", four, tcp, ("192.0.2.10", 22)),
        ("gateway's other port", four, tcp, ("10.90.0.1", 22)),
        ("dns elsewhere", four, udp, ("192.0.2.53", 53)),
        ("six", six, tcp, ("2001:db8::1", 80)),
        ("six by link", six, udp, ("fe80::1", 53, 0, 2)),
    ):
        print("try", name, attempt(*how), flush=True)
    socket.socket(four, socket.SOCK_RAW, socket.IPPROTO_RAW)
"""
LONER = """
import socket
from kos import app

def interfaces():
    with open("/proc/net/dev") as file:
        return sorted(line.split(":")[0].strip() for line in file.readlines()[2:])

def main():
    app.ready()
    print("interfaces", interfaces(), flush=True)
"""


def service(entry: str, port: str, uses: list[str] | None = None, **members) -> dict:
    access = {port: {"role": "server"}, **{name: {"role": "client"} for name in uses or []}}
    return app(
        image={"kind": "service", "entry": f"kos.services.{entry}.main:main"},
        access={"msg0": access},
        **members,
    )


@pytest.mark.parametrize("mode", ["root", "user"])
def test_an_app_of_a_system_reaches_the_gateway(mode, tmp_path):
    lab.require_tools()
    with lab.closing_all() as things:
        wire = Wire()
        things.append(wire.close)
        echo = EchoServer(wire.gateway)
        things.append(echo.close)
        gateway = GatewayProcess(
            wire, tmp_path / "gateway", user=False, services=[f"echo=7:127.0.0.1:{echo.port}"]
        )
        things.append(gateway.stop)
        key = KeyPair.new()
        gateway.allow({"device-1": (key.public, ["10.90.1.0/24"])})
        settings = {
            "peer_endpoint": f"{lab.GATEWAY_ADDRESS}:51820",
            "peer_public_key": gateway.public_key,
            "dns": "10.90.0.1",
        }
        directory = tmp_path / "system"
        directory.mkdir()
        network = [{"type": "network"}]
        install(
            directory,
            {
                "ethernet": service("ethernet", PORT_ETHERNET, resources=network),
                "log": service("log", PORT_LOG),
                "tunnel": service(
                    "tunnel",
                    PORT_INTERNET,
                    [PORT_ETHERNET, PORT_LOG],
                    resources=network,
                    config={
                        "tunnel_settings": settings,
                        "allow": {"station": ["tcp 10.90.0.1 7"], "attacker": ["tcp 10.90.0.1 7"]},
                    },
                ),
                "attacker": app(
                    ATTACKER,
                    access={"msg0": {PORT_INTERNET: {"role": "client"}}},
                ),
                "station": app(STATION, access={"msg0": {PORT_INTERNET: {"role": "client"}}}),
                "loner": app(LONER, access={"msg0": {PORT_LOG: {"role": "client"}}}),
            },
            {"msg0": [PORT_ETHERNET, PORT_INTERNET, PORT_LOG, PORT_KEY_STORE]},
        )
        manifest = json.loads((directory / "manifest.json").read_text())
        address = {"address": "10.90.1.2", "mask": "255.255.0.0", "gateway": "10.90.0.1"}
        other = {**address, "address": "10.90.1.3"}
        manifest["options"] = {"tunnel_ips": {"station": address, "attacker": other}}
        (directory / "manifest.json").write_text(json.dumps(manifest))
        (directory / "keys").mkdir(mode=0o700)
        (directory / "keys/tunnel.key").write_bytes(key.private)
        (directory / "keys/tunnel.key").chmod(0o600)

        def start() -> RunningSystem:
            if mode == "user":
                lab.open_tun_to_everybody()
            return RunningSystem(directory, ordinary_user=mode == "user")

        with in_namespace(wire.device, start) as system:
            system.wait_for("echo hello from an app 10.90.1.2")
            system.wait_for("status connected 10.90.1.2/16 10.90.0.1")
            system.wait_for("name 10.90.0.1")
            system.wait_for("counted True 0")
            system.wait_for("capabilities {'0000000000000000'}")
            system.wait_for("interfaces ['eth0', 'lo']")
            system.wait_for("interfaces ['lo']")
            system.wait_for(lambda line: "settings Permission denied" in line or "settings Read-only" in line)
            system.wait_for("try allowed answered")
            system.wait_for("attacker: system call socket")
            tried = [line.partition("| try ")[2] for line in system.lines if "| try " in line]
            assert len(tried) == 9 and not any(line.endswith("answered") for line in tried[1:]), tried
            with system.client() as client:
                apps = client.status()["apps"]
            assert apps["loner"]["network"] == {} and apps["station"]["violations"] == 0
            counted = {reason: packets for reason, (packets, _) in apps["attacker"]["network"].items()}
            assert counted["neighbour"] >= 2 and counted["dns"] >= 1 and counted["destination"] >= 3, counted
            assert counted["ipv6"] >= 2, counted
            assert apps["attacker"]["violations"] == 1
            assert apps["station"]["network"]["sent"][1] > 0
            assert system.stop() == 0


APPLY_STATION = """
import socket, time
from kos import app

def main():
    app.ready()
    with open("/proc/net/route") as file:
        print("routes", len(file.readlines()) - 1, flush=True)
    while True:
        time.sleep(60)
"""


def test_an_address_that_is_granted_later(tmp_path):
    """A system that is replaced while it runs has the new network, and its apps are started inside it."""
    lab.require_tools()
    with lab.closing_all() as things:
        wire = Wire()
        things.append(wire.close)
        apps = {
            "ethernet": service("ethernet", PORT_ETHERNET, resources=[{"type": "network"}]),
            "log": service("log", PORT_LOG),
            "tunnel": service(
                "tunnel", PORT_INTERNET, [PORT_ETHERNET, PORT_LOG], resources=[{"type": "network"}]
            ),
            "station": app(APPLY_STATION, access={"msg0": {PORT_LOG: {"role": "client"}}}),
        }
        directory = tmp_path / "system"
        directory.mkdir()
        install(directory, apps, {"msg0": [PORT_ETHERNET, PORT_INTERNET, PORT_LOG, PORT_KEY_STORE]})
        (directory / "keys").mkdir(mode=0o700)
        with in_namespace(wire.device, lambda: RunningSystem(directory)) as system:
            system.wait_for("station            | routes 0")
            manifest = json.loads((directory / "manifest.json").read_text())
            manifest["apps"]["station"]["access"]["msg0"][PORT_INTERNET] = {"role": "client"}
            address = {"address": "10.90.1.2", "mask": "255.255.0.0", "gateway": "10.90.0.1"}
            manifest["options"] = {"tunnel_ips": {"station": address}}
            (directory / "manifest.next.json").write_text(json.dumps(manifest))
            with system.client() as client:
                client.request("apply")
            system.wait_for("station            | routes 1")
            assert system.stop() == 0
