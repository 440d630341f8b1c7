"""What happens to a tunnel in bad times, and that it comes back by itself. Times to recover are printed.

The tunnel service's real runner drives the keeper here; only its transport to ethernet is a table of names.
"""

from __future__ import annotations

import json
import time
from ipaddress import ip_address, ip_interface

import pytest

from kos.abi.services import ETHERNET_RESOLVE
from kos.device.network.plan import AppPlan
from tests.network import lab
from tests.network.lab import Device, EchoServer, GatewayProcess, KeyPair, Wire
from tests.security.test_network_isolation import TRY

pytestmark = [pytest.mark.group("network"), pytest.mark.timeout(600)]

# Seconds for what comes back by itself: with most packets lost it is a matter of luck, and ninety are too few
# now and then.
PATIENCE = 400.0

STATION = AppPlan("station", "10.90.1.2/16", "10.90.0.1")
# Sends single bytes over one TCP connection after another until one is answered; prints the seconds it took.
UNTIL_ANSWERED = """
import socket, sys, time
began = time.monotonic()
while True:
    try:
        with socket.create_connection(("10.90.0.1", 7), timeout=2) as c:
            c.sendall(b"x")
            if c.recv(1):
                break
    except OSError:
        time.sleep(0.1)
print(round(time.monotonic() - began, 1))
"""
BULK = """
import hashlib, socket, threading
data = bytes(range(256)) * 4096
with socket.create_connection(("10.90.0.1", 7), timeout=60) as c:
    threading.Thread(target=c.sendall, args=[data], daemon=True).start()
    got = b""
    while len(got) < len(data):
        got += c.recv(1 << 16)
print(got == data)
"""


class World:
    """A device with a running tunnel service, and names that the test changes."""

    def __init__(self, things: list, folder, *, user: bool) -> None:
        self.folder = folder
        self.user = user
        self.wire = Wire()
        things.append(self.wire.close)
        self.echo = EchoServer(self.wire.gateway)
        things.append(self.echo.close)
        self.gateway = self.start_gateway()
        things.append(lambda: self.gateway.stop())
        self.device = Device(self.wire, folder / "keys", lab.plan(STATION), user=user)
        things.append(self.device.close)
        self.register()
        self.names = {"gateway.example": [lab.GATEWAY_ADDRESS]}
        self.service = lab.TunnelService(self.device, self._ethernet, self.gateway, "gateway.example")
        things.append(self.service.close)
        self.recovery()

    def start_gateway(self) -> GatewayProcess:
        return GatewayProcess(
            self.wire,
            self.folder / "gateway",
            user=self.user,
            services=[f"echo=7:127.0.0.1:{self.echo.port}"],
        )

    def register(self) -> None:
        self.gateway.allow({"device-1": (self.device.key.public, ["10.90.1.0/24"])})

    def _ethernet(self, label: int, payload: bytes) -> tuple[bool, bytes]:
        if label == ETHERNET_RESOLVE:
            found = self.names.get(payload.decode(), [])
            return bool(found), "\n".join(found).encode()
        addresses = [str(each) for each in self.wire.rtnl_device.addresses("eth0")]
        link = self.wire.rtnl_device.link("eth0")
        return True, json.dumps({"link": link.carrier, "addresses": addresses}).encode()

    def recovery(self) -> str:
        return self.device.run("station", UNTIL_ANSWERED, timeout=PATIENCE)


@pytest.fixture
def world(tmp_path, request):
    """As root, or as `request.param` says."""
    lab.require_tools()
    with lab.closing_all() as things:
        yield World(things, tmp_path, user=getattr(request, "param", "root") == "user")


# Where sockets are what matters: an ordinary user's are not its own.
EVERYBODY = pytest.mark.parametrize("world", ["root", "user"], indirect=True)


@pytest.fixture
def recovered(world, record_property, capsys):
    def measure(what: str) -> None:
        seconds = world.recovery()
        record_property(what, seconds)
        who = ", an ordinary user" if world.user else ""
        with capsys.disabled():
            print(f"\n{what}{who}: {seconds} s to recover", end=" ")

    return measure


def test_link_down_and_up(world, recovered):
    world.wire.rtnl_device.set("eth0", up=False)
    time.sleep(1)  # the fault lasts for so long
    world.wire.rtnl_device.set("eth0", up=True)
    world.wire.rtnl_device.add_route("0.0.0.0/0", "eth0", via=ip_address(lab.GATEWAY_ADDRESS))
    recovered("link down and up")


@EVERYBODY
def test_a_new_address_of_the_device(world, recovered):
    rtnl = world.wire.rtnl_device
    rtnl.delete_address("eth0", ip_interface(f"{lab.DEVICE_ADDRESS}/24"))
    rtnl.add_address("eth0", ip_interface("192.0.2.77/24"))
    recovered("new address")
    (report,) = world.gateway.status()["devices"]
    assert report["endpoint"].startswith("192.0.2.77:")


@EVERYBODY
def test_the_gateway_restarts(world, recovered):
    world.gateway.process.kill()
    world.gateway.process.wait()
    world.gateway.process.stdout.close()
    world.gateway = world.start_gateway()
    recovered("gateway restarts")


def test_the_gateway_moves_to_another_address(world, recovered):
    """Its name leads elsewhere now, and nobody is at the old place."""
    rtnl = world.wire.rtnl_gateway
    rtnl.delete_address("eth0", ip_interface(f"{lab.GATEWAY_ADDRESS}/24"))
    rtnl.add_address("eth0", ip_interface("192.0.2.99/24"))
    world.names["gateway.example"] = ["192.0.2.99"]
    recovered("gateway moves")
    assert world.service.runner.ask("status")["peer"]["endpoint"] == "192.0.2.99:51820"


def test_the_devices_key_is_rotated(world, recovered):
    world.device.key = KeyPair.new()
    world.device.write_key(world.device.key)
    world.register()
    recovered("key rotated")


def test_a_device_that_is_removed_and_comes_back(world, recovered):
    world.gateway.allow({})
    lab.wait_for("the loss to be seen", lambda: tcp_fails(world))
    world.register()
    recovered("removed and back")


def tcp_fails(world: World) -> bool:
    return world.device.run("station", TRY, "tcp", "10.90.0.1", "7") != "answered"


@pytest.mark.parametrize("percent", [10, 60])
def test_packets_are_lost(world, recovered, percent):
    world.wire.impair(f"meta l4proto udp numgen random mod 100 < {percent} drop;")
    recovered(f"{percent} % loss")
    if percent == 10:
        assert world.device.run("station", BULK, timeout=PATIENCE) == "True"


def test_a_black_hole_for_large_packets(world, record_property, capsys):
    """Full-size packets vanish without a word; TCP inside finds a size that passes."""
    world.wire.impair("meta length > 1280 drop;")
    began = time.monotonic()
    assert world.device.run("station", BULK, timeout=PATIENCE) == "True"
    seconds = round(time.monotonic() - began, 1)
    record_property("black hole", seconds)
    with capsys.disabled():
        print(f"\nblack hole for packets over 1,280 bytes: 1 MiB there and back in {seconds} s", end=" ")


@EVERYBODY
def test_wireguard_itself_is_killed(world, recovered):
    lab.kill_wireguard(world.device.client.process.pid)
    recovered("wireguard-go killed")
