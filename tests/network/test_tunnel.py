"""A device and a gateway, from end to end, in namespaces of their own: as root and as an ordinary user."""

from __future__ import annotations

import functools
import os
import signal
import socket

import pytest

from kos.abi.errors import KosError
from kos.device.network import client
from kos.device.network.plan import AppPlan
from kos.device.network.tunnel import HandshakeAge
from kos.network.namespaces import in_namespace
from tests.network import lab
from tests.network.bare import Bare, serve, throughput
from tests.network.lab import Device, EchoServer, GatewayProcess, Wire

pytestmark = pytest.mark.group("network")

ECHO = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=80) as c:
    c.sendall(b"through the tunnel")
    c.shutdown(socket.SHUT_WR)
    data = b""
    while part := c.recv(4096):
        data += part
    print(data.decode())
"""
# One ping as an ordinary program sends it: no raw socket, the kernel fills in the identifier.
PING = """
import socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as s:
    s.settimeout(80)
    s.connect((sys.argv[1], 0))
    s.send(struct.pack("!BBHHH", 8, 0, 0, 0, 7) + b"are you there?")
    answer = s.recv(100)
    print(answer[0], answer[8:].decode())
"""
STATION = AppPlan("station", "10.90.1.2/16", "10.90.0.1")
CAMERA = AppPlan("camera", "10.90.1.3/16", "10.90.0.1")


def test_the_age_of_a_handshake_when_the_clock_jumps_by_years():
    age = HandshakeAge()
    assert age.of(0.0, 5.0) is None
    assert age.of(1e9, 10.0) == 0.0
    assert age.of(1e9, 70.0) == 60.0  # whatever the time of day is by now
    assert age.of(1e9 + 8e8, 71.0) == 0.0
    assert age.of(1e9, 75.0) == 0.0  # set back: a handshake all the same
    assert age.of(0.0, 80.0) is None


@pytest.fixture(params=["root", "user"])
def mode(request) -> str:
    lab.require_tools()
    return request.param


@pytest.fixture
def net(mode, tmp_path):
    with lab.closing_all() as things:
        wire = Wire()
        things.append(wire.close)
        echo = EchoServer(wire.gateway)
        things.append(echo.close)
        gateway = GatewayProcess(
            wire, tmp_path / "gateway", user=mode == "user", services=[f"echo=7:127.0.0.1:{echo.port}"]
        )
        things.append(gateway.stop)
        device = Device(wire, tmp_path / "keys", lab.plan(STATION, CAMERA), user=mode == "user")
        things.append(device.close)
        gateway.allow({"device-1": (device.key.public, ["10.90.1.0/24"])})
        device.connect(gateway)
        yield wire, gateway, device


def test_an_app_reaches_a_service_of_the_gateway(net):
    _wire, gateway, device = net
    assert device.run("station", ECHO, "10.90.0.1", "7") == "through the tunnel"
    status = device.tunnel.ask(op="status")
    assert status["peer"]["endpoint"] == f"{lab.GATEWAY_ADDRESS}:51820"
    assert status["peer"]["handshake_age"] is not None
    assert status["addresses"]["station"]["gateway"] == "10.90.0.1"
    counters = device.client.counters()
    assert counters["station"]["sent"][0] > 0
    assert counters["camera"]["sent"] == [0, 0]
    (report,) = gateway.status()["devices"]
    assert report["device"] == "device-1" and report["rx_bytes"] > 0
    assert report["endpoint"].startswith(lab.DEVICE_ADDRESS + ":")


def test_an_app_pings_the_gateway(net):
    _wire, _gateway, device = net
    assert device.run("station", PING, "10.90.0.1") == "0 are you there?"


def test_peers_come_and_go_without_interruption(net):
    """One connection lives through hundreds of other devices that are added and removed."""
    _wire, gateway, device = net
    own = {"device-1": (device.key.public, ["10.90.1.0/24"])}
    others = {f"other-{n}": (os.urandom(32), [f"10.90.{2 + n // 200}.{1 + n % 200}/32"]) for n in range(600)}
    join = device.client.join("station")
    assert join is not None
    connect = functools.partial(socket.create_connection, ("10.90.0.1", 7), timeout=lab.TIMEOUT)
    with in_namespace(join.network, connect) as connection:
        for table in (own | others, own, own | dict(list(others.items())[::2])):
            changed = gateway.allow(table)
            assert changed["changed"] + changed["removed"] >= 300
            connection.sendall(b"still there")
            assert connection.recv(100) == b"still there"
    join.close()


def test_wireguard_that_dies_again_and_again_leaves_nothing(net):
    """Its sockets, its filter's listener and its handles go with it."""
    _wire, _gateway, device = net
    keeper = device.client.process.pid

    def open_files() -> int:
        return len(os.listdir(f"/proc/{keeper}/fd"))

    counts = []
    for _ in range(3):
        lab.wait_for_another_wireguard(keeper, lab.kill_wireguard(keeper))
        lab.wait_for("its interface", lambda: device.tunnel.ask(op="status")["ok"])
        assert device.run("station", ECHO, "10.90.0.1", "7") == "through the tunnel"
        counts.append(open_files())
    assert counts[0] == counts[1] == counts[2]


def test_an_answer_that_comes_too_late_is_none_to_the_next_question(net, monkeypatch):
    """Else an app would be started in another one's network, or the supervisor would fail."""
    _wire, _gateway, device = net

    def network_of(app: str) -> int:
        join = device.client.join(app)
        assert join is not None
        inode = os.fstat(join.network).st_ino
        join.close()
        return inode

    before = {app: network_of(app) for app in ("station", "camera")}
    assert before["station"] != before["camera"]
    keeper = device.client.process.pid
    os.kill(keeper, signal.SIGSTOP)
    try:
        with monkeypatch.context() as patch, pytest.raises(KosError, match="does not answer"):
            patch.setattr(client, "ANSWER_TIMEOUT", 0.1)
            device.client.counters()
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert {app: network_of(app) for app in before} == before
    assert set(device.client.counters()) == {"station", "camera"}


def test_the_outside_sees_only_wireguard(net):
    """Nothing of what apps say is on the wire in the clear, and no other protocol but ARP."""
    wire, _gateway, device = net
    with lab.Capture(wire.gateway, "eth0") as capture:
        code = ECHO.replace("through the tunnel", "a secret of the app")
        assert device.run("station", code, "10.90.0.1", "7") == "a secret of the app"
        assert device.run("camera", PING, "10.90.0.1") == "0 are you there?"
    packets = capture.packets()
    assert any(packet.udp_port == 51820 for packet in packets)
    for packet in packets:
        assert packet.kind == "arp" or packet.udp_port == 51820, packet
        assert b"secret" not in packet.data and b"there?" not in packet.data


def test_throughput_beside_bare_wireguard(net, mode, record_property, capsys):
    """Printed and not asserted: other programs share the machine. `benchmarks/tunnel` measures with care."""
    _wire, gateway, device = net
    bare = Bare()
    sinks = [serve(bare.there, "10.90.0.1", 7, echo=False)]
    try:
        sinks.append(serve(gateway.namespace(), "10.90.0.1", 53, echo=False))  # a port that is open
        join = device.client.join("station")
        assert join is not None
        rates = [(throughput(join.network, 53, 10), throughput(bare.here, 7, 10)) for _ in range(3)]
        join.close()
    finally:
        for each in sinks:
            each.close()
        bare.close()
    ours, theirs = (sorted(rate)[1] for rate in zip(*rates, strict=True))
    record_property("throughput", ours / theirs)
    with capsys.disabled():
        print(f"\n{mode}: {ours:.0f} Mbit/s, {ours / theirs:.2f} of bare wireguard-go", end=" ")
