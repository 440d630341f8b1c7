"""What an app tries in order to reach more than its manifest grants: each try is refused, and counted.

The attacker here is more than an app: Python without the system-call filter, so the network alone must hold.
"""

from __future__ import annotations

import json
import socket
import struct

import pytest

from kos.device.network.plan import AppPlan
from kos.network.namespaces import in_namespace
from tests.network import lab
from tests.network.lab import Device, EchoServer, GatewayProcess, Wire

pytestmark = pytest.mark.group("network")

STATION = AppPlan("station", "10.90.1.2/16", "10.90.0.1")
CAMERA = AppPlan(
    "camera", "10.90.1.3/16", "10.90.0.1", allow=(("tcp", "10.90.0.1/32", 7), ("icmp", "10.90.0.1/32", 0))
)

# Tries one connection or packet and prints how it ended: the name of the error, "answered" or "silence",
# which is judged after three seconds or as many as the last argument says.
TRY = """
import errno, json, socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
try:
    s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(float(sys.argv[4]) if len(sys.argv) > 4 else 3)
    s.connect(socket.getaddrinfo(host, port, family, flags=socket.AI_NUMERICHOST)[0][4])
    if kind == "udp":
        s.send(b"x" * 40)
        try:
            s.recv(1)
        except TimeoutError:
            print("silence"); sys.exit()
    print("answered")
except TimeoutError:
    print("silence")
except OSError as e:
    print(errno.errorcode.get(e.errno, str(e)))
"""
REFUSED = {"EHOSTUNREACH", "EACCES", "ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL", "EINVAL"}


@pytest.fixture(scope="module", params=["root", "user"])
def net(request, tmp_path_factory):
    lab.require_tools()
    user = request.param == "user"
    folder = tmp_path_factory.mktemp("net")
    with lab.closing_all() as things:
        wire = Wire()
        things.append(wire.close)
        echo = EchoServer(wire.gateway)
        things.append(echo.close)
        services = [f"echo=7:127.0.0.1:{echo.port}"]
        gateway = GatewayProcess(wire, folder / "gateway", user=user, services=services)
        things.append(gateway.stop)
        device = Device(wire, folder / "keys", lab.plan(STATION, CAMERA, dns="10.90.0.1"), user=user)
        things.append(device.close)
        gateway.allow({"device-1": (device.key.public, ["10.90.1.0/24"])})
        device.connect(gateway)
        lab.wait_for("the tunnel", lambda: device.run("station", TRY, "tcp", "10.90.0.1", "7") == "answered")
        yield wire, gateway, device


@pytest.fixture
def counted(net):
    """How many packets a reason counted for an app since the test began."""
    _wire, gateway, device = net
    before = device.client.counters(), gateway.status()["counters"]

    def since(app: str, reason: str) -> int:
        if app == "gateway":
            return gateway.status()["counters"][reason] - before[1][reason]
        return device.client.counters()[app][reason][0] - before[0][app][reason][0]

    return since


SILENT = 3.0  # seconds until silence is believed where nothing else may come


def attempt(device: Device, app: str, kind: str, host: str, port: int, seconds: float = 60.0) -> str:
    """How a try ended.

    A busy machine may need long for an answer or a refusal. Where one did not come for all that, the tests
    that share the device do not each wait for so long.
    """
    ended = device.run(app, TRY, kind, host, str(port), str(min(seconds, device.patience)))
    if ended == "silence" and seconds > SILENT:
        device.patience = SILENT
    return ended


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_another_app(net, counted, kind):
    _wire, _gateway, device = net
    assert attempt(device, "station", kind, "10.90.1.3", 80) in REFUSED
    assert counted("station", "neighbour") > 0
    assert counted("camera", "received") == 0


def test_the_hub_itself(net, counted):
    _wire, _gateway, device = net
    assert attempt(device, "station", "tcp", "192.0.0.8", 22) in REFUSED
    assert counted("station", "neighbour") > 0


@pytest.mark.parametrize("host", [lab.GATEWAY_ADDRESS, lab.DEVICE_ADDRESS])
def test_the_local_network_and_the_device_on_it(net, counted, host):
    """Without an allow list the packet goes into the tunnel, and the gateway has no way on for it."""
    wire, _gateway, device = net
    with in_namespace(wire.gateway, lambda: socket.create_server((lab.GATEWAY_ADDRESS, 8080))) as there:
        there.settimeout(0)
        assert attempt(device, "station", "tcp", host, 8080, SILENT) in REFUSED | {"silence"}
        with pytest.raises(BlockingIOError):
            there.accept()
    lab.wait_for(
        "it is counted", lambda: counted("gateway", "refused_device") + counted("gateway", "refused_other")
    )


def test_the_hosts_loopback(net):
    wire, _gateway, device = net
    with in_namespace(wire.device, lambda: socket.create_server(("127.0.0.1", 0))) as there:
        assert attempt(device, "station", "tcp", "127.0.0.1", there.getsockname()[1]) == "ECONNREFUSED"


@pytest.mark.parametrize("port", [22, 8, 51820])
def test_other_ports_of_the_gateway(net, counted, port):
    _wire, _gateway, device = net
    assert attempt(device, "station", "tcp", "10.90.0.1", port) in REFUSED
    assert counted("gateway", "refused_port") > 0


def test_a_destination_that_is_not_on_the_allow_list(net, counted):
    _wire, _gateway, device = net
    assert attempt(device, "camera", "tcp", "10.90.0.1", 7) == "answered"
    assert attempt(device, "camera", "tcp", "10.90.0.1", 8) in REFUSED
    assert attempt(device, "camera", "udp", "10.90.0.1", 7) in REFUSED
    assert attempt(device, "camera", "tcp", "10.90.0.2", 7) in REFUSED
    assert counted("camera", "destination") >= 3


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_dns_elsewhere(net, counted, kind):
    _wire, _gateway, device = net
    assert attempt(device, "station", kind, "192.0.2.53", 53) in REFUSED
    assert counted("station", "dns") > 0


def test_dns_over_tls_and_https_elsewhere_find_nobody(net, counted):
    _wire, _gateway, device = net
    for port in (853, 443):
        assert attempt(device, "station", "tcp", "192.0.2.53", port) in REFUSED
    assert counted("gateway", "refused_other") >= 2


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("::1", None),  # the app's own loopback, on which nobody listens
        ("fe80::1%eth0", "ipv6"),
        ("2001:db8::1", "ipv6"),
        ("::ffff:10.90.0.1", "destination"),
    ],
)
def test_ipv6_side_doors(net, counted, host, reason):
    _wire, _gateway, device = net
    assert attempt(device, "camera", "tcp", host, 8) in REFUSED
    assert reason is None or counted("camera", reason) > 0
    code = "import os; print(os.path.exists('/proc/net/if_inet6') and open('/proc/net/if_inet6').read())"
    addresses = device.run("camera", code)
    assert addresses == "False" or [line.split()[-1] for line in addresses.splitlines()] == ["lo"]


@pytest.mark.parametrize(
    "code",
    [
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(0, 19, 1)",  # IP_TRANSPARENT
    ],
)
def test_rights_over_the_network(net, code):
    _wire, _gateway, device = net
    program = f"""
import socket
try:
    {code}
    print('allowed')
except PermissionError:
    print('refused')
"""
    assert device.run("station", program) == "refused"


def test_settings_of_the_namespace(net):
    _wire, _gateway, device = net
    if device.user:
        pytest.skip(
            "not applicable: /proc/sys is read-only in an ordinary user's sandbox, see test_host_system.py"
        )
    program = (
        "try:\n    open('/proc/sys/net/ipv4/ip_forward', 'w')\nexcept PermissionError:\n    print('refused')"
    )
    assert device.run("station", program) == "refused"


def test_a_new_address_or_route(net):
    """Changing one's own network by netlink."""
    _wire, _gateway, device = net
    program = """
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
s.bind((0, 0))
index = socket.if_nametoindex("eth0")
body = struct.pack("=BBBBi", 2, 32, 0, 0, index) + struct.pack("=HH4s", 8, 2, bytes([10, 90, 1, 3]))
s.send(struct.pack("=IHHII", 16 + len(body), 20, 0x605, 1, 0) + body)
print(struct.unpack_from("=i", s.recv(4096), 16)[0])
"""
    assert device.run("station", program) == "-1"  # EPERM


SPOOF = """
import errno, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(0, 15, 1)  # IP_FREEBIND needs no right
s.bind(("10.90.1.3", 4444))
try:
    s.sendto(b"not me", ("10.90.0.1", 53))
    print("sent")
except OSError as e:
    print(errno.errorcode[e.errno])
"""


def test_spoofed_source_address(net, counted):
    _wire, _gateway, device = net
    result = device.run("station", SPOOF)
    assert counted("station", "sent") == 0
    assert result in REFUSED or counted("station", "spoofed") > 0


def udp_packet(source: str, target: str) -> bytes:
    body = struct.pack("!HHHH", 4444, 7, 8, 0)
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(target)
    )
    total = sum(struct.unpack("!10H", head))
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack("!H", check) + head[12:] + body


def test_spoofed_packets_even_with_every_right_inside(net, counted):
    """Somebody who broke out of the sandbox, not out of the namespace, still speaks for nobody else."""
    _wire, _gateway, device = net
    join = device.client.join("station")
    assert join is not None
    mac = bytes.fromhex(device.link_mac("station").replace(":", ""))
    with in_namespace(join.network, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)) as raw:
        for source in ("10.90.1.3", "10.90.0.1", "192.0.2.10", "127.0.0.1"):
            raw.sendto(udp_packet(source, "10.90.0.1"), ("eth0", 0x0800, 0, 0, mac))
        raw.sendto(b"\x60" + bytes(7) + bytes(32), ("eth0", 0x86DD, 0, 0, mac))
    join.close()
    # IPv6 is dropped by the kernel before any rule, because it is off.
    lab.wait_for("counts", lambda: counted("station", "spoofed") >= 4)
    assert counted("station", "sent") == 0


def test_a_connection_from_the_tunnel_that_nobody_asked_for(net, counted):
    """Whoever holds the gateway cannot call into an app."""
    _wire, gateway, _device = net
    with in_namespace(gateway.namespace(), lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as s:
        s.settimeout(1)
        with pytest.raises(OSError):
            s.connect(("10.90.1.2", 80))
    lab.wait_for("it is counted", lambda: counted("station", "unasked") > 0)


def test_another_device_with_our_address(net, tmp_path):
    """A device that is registered, and that sends from an address which is another one's."""
    wire, gateway, device = net
    thief_plan = lab.plan(
        AppPlan("thief", "10.90.1.2/16", "10.90.0.1"), AppPlan("own", "10.90.2.2/16", "10.90.0.1")
    )
    thief = Device(wire, tmp_path / "thief", thief_plan, user=device.user)
    try:
        gateway.allow(
            {
                "device-1": (device.key.public, ["10.90.1.0/24"]),
                "thief": (thief.key.public, ["10.90.2.0/24"]),
            }
        )
        thief.connect(gateway)
        lab.wait_for(
            "its own address", lambda: attempt(thief, "own", "tcp", "10.90.0.1", 7, SILENT) == "answered"
        )
        assert attempt(thief, "thief", "tcp", "10.90.0.1", 7, SILENT) == "silence"
        assert attempt(thief, "own", "tcp", "10.90.1.2", 7) in REFUSED  # device to device
        assert attempt(device, "station", "tcp", "10.90.0.1", 7) == "answered"
    finally:
        thief.close()
        gateway.allow({"device-1": (device.key.public, ["10.90.1.0/24"])})


def test_counters_are_each_apps_own(net):
    _wire, _gateway, device = net
    counters = device.client.counters()
    assert set(counters) == {"station", "camera"}
    assert json.dumps(counters)
