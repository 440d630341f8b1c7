"""There is no moment at which an app reaches more than its manifest grants: not at a start, nor while the
tunnel, its key, the gateway or its devices change, nor after a process that made the rules has been killed.

An app hammers what it must not reach the whole time; those whom it must not reach look at what gets there.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kos.device.network.plan import AppPlan
from kos.network import nft
from kos.network.namespaces import in_namespace
from tests.device.systems import reachable_python
from tests.network import lab
from tests.network.lab import Device, EchoServer, GatewayProcess, KeyPair, Wire
from tests.security.test_network_isolation import TRY

pytestmark = pytest.mark.group("network")

STATION = AppPlan("station", "10.90.1.2/16", "10.90.0.1")
CAMERA = AppPlan("camera", "10.90.1.3/16", "10.90.0.1", allow=(("tcp", "10.90.0.1/32", 7),))
PORT = 8080
TARGETS = ["10.90.1.2", "10.90.1.3", "10.90.0.1", "192.0.0.8", lab.DEVICE_ADDRESS, lab.GATEWAY_ADDRESS]
ROUNDS = 3  # of the hammer, after each change

# Sends to every target without a pause, and says so after each round.
HAMMER = """
import os, socket, sys
os.set_blocking(1, False)
own, port, targets = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setblocking(False)
while True:
    for target in targets:
        if target == own:
            continue
        tcp = socket.socket()
        tcp.setblocking(False)
        tcp.connect_ex((target, port))
        try:
            udp.sendto(b"x", (target, port))
        except OSError:
            pass
        tcp.close()
    try:
        os.write(1, b".")
    except BlockingIOError:
        pass  # nobody looks just now, which is no reason to stop
"""


class Victim:
    """Whatever TCP or UDP packet for our port gets as far as a program of a namespace could see it."""

    def __init__(self, namespace: int) -> None:
        def listen() -> list[socket.socket]:
            kinds = socket.IPPROTO_TCP, socket.IPPROTO_UDP
            return [socket.socket(socket.AF_INET, socket.SOCK_RAW, kind) for kind in kinds]

        self._sockets = in_namespace(namespace, listen)
        for each in self._sockets:
            each.setblocking(False)

    def reached(self) -> list[tuple[str, str]]:
        """From where to where."""
        found = []
        for each in self._sockets:
            with contextlib.suppress(BlockingIOError):
                while True:
                    packet = each.recv(1 << 16)
                    start = (packet[0] & 0xF) * 4
                    if int.from_bytes(packet[start + 2 : start + 4], "big") == PORT:
                        found.append((socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])))
        return found

    def close(self) -> None:
        for each in self._sockets:
            each.close()


class Hammer:
    """The attacking process of an app."""

    def __init__(self, device: Device, app: AppPlan) -> None:
        join = device.client.join(app.name)
        assert join is not None
        command = [reachable_python(), "-I", "-c", HAMMER, str(app.interface.ip), str(PORT), *TARGETS]
        self._process = subprocess.Popen(command, preexec_fn=join, stdout=subprocess.PIPE)
        join.close()

    def rounds(self, count: int) -> None:
        """Wait until it has been round so often from now on."""
        assert self._process.stdout is not None
        # Read as it is: a buffer of ours would keep what was said before.
        said = self._process.stdout.fileno()
        if select.select([said], [], [], 0)[0]:
            assert os.read(said, 1 << 16), "the hammer ended"
        for _ in range(count):
            assert select.select([said], [], [], lab.TIMEOUT)[0], "the hammer is still"
            assert os.read(said, 1) == b".", "the hammer ended"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def attacked(wire: Wire, device: Device, gateway: GatewayProcess) -> Iterator[list[Hammer]]:
    """Both apps attack; at the end nobody may have been reached."""
    camera = device.client.join("camera")
    assert camera is not None
    inside = gateway.namespace()
    places = {"device": wire.device, "wire": wire.gateway, "camera": camera.network, "gateway": inside}
    victims = {name: Victim(namespace) for name, namespace in places.items()}
    camera.close()
    os.close(inside)
    hammers = [Hammer(device, app) for app in (STATION, CAMERA)]
    try:
        yield hammers
        for hammer in hammers:
            hammer.rounds(ROUNDS)
        assert {name: victim.reached() for name, victim in victims.items()} == {name: [] for name in victims}
    finally:
        for each in (*hammers, *victims.values()):
            each.close()


def answered(device: Device) -> bool:
    return device.run("station", TRY, "tcp", "10.90.0.1", "7") == "answered"


def reconnect(device: Device, gateway: GatewayProcess) -> None:
    """Forget the session, as the tunnel service does when nobody answers, and wait for the next one."""
    peer = {"public_key": gateway.public_key, "endpoint": f"{lab.GATEWAY_ADDRESS}:{gateway.port}"}
    assert device.tunnel.ask(op="peer", **peer, keep_alive=1, fresh=True)["ok"]
    lab.wait_for("the tunnel", lambda: answered(device))


def allow(gateway: GatewayProcess, *keys: KeyPair) -> None:
    """Let these devices in; the first has the apps' addresses."""
    networks = ["10.90.1.0/24", *(f"10.90.{2 + n}.0/24" for n in range(len(keys)))]
    gateway.allow({f"device-{n}": (key.public, [networks[n]]) for n, key in enumerate(keys)})


def rotate_key(device: Device, gateway: GatewayProcess) -> None:
    device.key = KeyPair.new()
    device.write_key(device.key)
    assert device.tunnel.ask(op="status")["ok"]  # which looks at the file
    allow(gateway, device.key)
    reconnect(device, gateway)


def come_and_go(device: Device, gateway: GatewayProcess) -> None:
    for others in ([KeyPair.new() for _ in range(20)], []):
        allow(gateway, device.key, *others)
    gateway.allow({})
    allow(gateway, device.key)
    reconnect(device, gateway)


def kill_wireguard(device: Device, gateway: GatewayProcess) -> None:
    keeper = device.client.process.pid
    lab.wait_for_another_wireguard(keeper, lab.kill_wireguard(keeper))
    lab.wait_for("WireGuard again", lambda: device.tunnel.ask(op="status")["ok"])
    reconnect(device, gateway)


CHANGES = [rotate_key, come_and_go, kill_wireguard]


@pytest.fixture(params=[False, True], ids=["root", "user"])
def user(request):
    lab.require_tools()
    return request.param


@pytest.fixture
def things():
    with lab.closing_all() as made:
        yield made


def start(user: bool, folder: Path, things: list[Any]) -> tuple[Wire, GatewayProcess, list[str]]:
    wire = Wire()
    things.append(wire.close)
    echo = EchoServer(wire.gateway)
    things.append(echo.close)
    services = [f"echo=7:127.0.0.1:{echo.port}"]
    return wire, GatewayProcess(wire, folder / "gateway", user=user, services=services), services


def test_no_change_lets_an_app_out(user, tmp_path, things):
    wire, gateway, _services = start(user, tmp_path, things)
    things.append(gateway.stop)
    device = Device(wire, tmp_path / "keys", lab.plan(STATION, CAMERA), user=user)
    things.append(device.close)
    # From the first moment at which an app may run.
    with attacked(wire, device, gateway) as hammers:
        allow(gateway, device.key)
        reconnect(device, gateway)
        for change in CHANGES:
            change(device, gateway)
            for hammer in hammers:
                hammer.rounds(ROUNDS)


def test_nobody_who_dies_opens_the_way(user, tmp_path, things):
    wire, gateway, services = start(user, tmp_path, things)
    device = Device(wire, tmp_path / "keys", lab.plan(STATION, CAMERA), user=user)
    things.append(device.close)
    with attacked(wire, device, gateway) as hammers:
        allow(gateway, device.key)
        reconnect(device, gateway)
        gateway.process.kill()
        gateway.process.wait()
        gateway.process.stdout.close()
        for hammer in hammers:
            hammer.rounds(ROUNDS)
    gateway = GatewayProcess(wire, tmp_path / "gateway", user=user, services=services)
    things.append(gateway.stop)
    with attacked(wire, device, gateway) as hammers:
        reconnect(device, gateway)
        os.kill(device.client.process.pid, signal.SIGKILL)  # the keeper, who made the rules; the apps live on
        device.client.process.wait()
        for hammer in hammers:
            hammer.rounds(ROUNDS)


def test_the_victims_would_notice(user, tmp_path, things):
    """The same hammer without the rules reaches the gateway: else nothing was proven above."""
    wire, gateway, _services = start(user, tmp_path, things)
    things.append(gateway.stop)
    device = Device(wire, tmp_path / "keys", lab.plan(STATION, CAMERA), user=user)
    things.append(device.close)
    allow(gateway, device.key)
    reconnect(device, gateway)
    namespace = gateway.namespace()
    things.append(lambda: os.close(namespace))
    inside = Victim(namespace)
    things.append(inside.close)
    nft.load("flush ruleset", namespace)
    hammer = Hammer(device, STATION)
    things.append(hammer.close)
    lab.wait_for("a packet", lambda: ("10.90.1.2", "10.90.0.1") in inside.reached())
