"""A device and a gateway, from end to end, in namespaces of their own: as root and as an ordinary user."""

from __future__ import annotations

import pytest

from kos.device.network.plan import AppPlan
from tests.network import lab
from tests.network.lab import Device, EchoServer, GatewayProcess, Wire

pytestmark = pytest.mark.group("network")

ECHO = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as c:
    c.sendall(b"through the tunnel")
    c.shutdown(socket.SHUT_WR)
    data = b""
    while part := c.recv(4096):
        data += part
    print(data.decode())
"""
STATION = AppPlan("station", "10.90.1.2/16", "10.90.0.1")
CAMERA = AppPlan("camera", "10.90.1.3/16", "10.90.0.1")


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
