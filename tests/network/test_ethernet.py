"""Ethernet on a wire with a DHCP server that others wrote (dnsmasq), through the keeper's sockets."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from ipaddress import ip_interface

import pytest

from kos.abi.errors import KosError
from kos.abi.services import ETHERNET_RESOLVE, ETHERNET_STATUS
from kos.abi.status import Status
from kos.device.network.plan import AppPlan
from kos.network.keeper_link import KeeperLink
from kos.network.namespaces import in_namespace
from kos.services.ethernet.config import EthernetConfig, parse
from kos.services.ethernet.interface import Interface
from kos.services.ethernet.server import EthernetServer
from tests.network import lab
from tests.network.lab import EchoServer, GatewayProcess, Wire
from tests.network.test_faults import PATIENCE, UNTIL_ANSWERED
from tests.network.test_tunnel import ECHO, STATION

pytestmark = [pytest.mark.group("network"), pytest.mark.timeout(600)]


class Machine:
    """A device whose interface is its own, with a server of addresses and names at the other end of the
    wire.
    """

    def __init__(
        self, things: list, folder, config: EthernetConfig, *apps: AppPlan, six: bool = False
    ) -> None:
        self.wire = Wire(six=six)
        things.append(self.wire.close)
        self.wire.rtnl_device.delete_address("eth0", ip_interface(f"{lab.DEVICE_ADDRESS}/24"))
        self.folder = folder
        self.device = lab.Device(self.wire, folder / "keys", lab.plan(*apps), user=False, owned=True)
        things.append(self.device.close)
        link = KeeperLink(self.device.client.attach("ethernet"))
        things.append(link.socket.close)
        self.said: list[str] = []
        self.interface = Interface(link, config, self.said.append)
        self.interface.start()
        self.server = EthernetServer(self.interface)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        things.append(self._end)

    def _run(self) -> None:
        try:
            self.interface.run()
        except (KosError, OSError) as error:
            self.said.append(str(error))  # the keeper is gone: the end of the test

    def _end(self) -> None:
        self.device.client.process.terminate()
        self._thread.join(lab.TIMEOUT)
        for each in (self.interface.name_socket, self.interface._dhcp):
            if each is not None:
                each.close()

    def dhcp(self, first: str, *more: str, last: str = "192.0.2.200") -> subprocess.Popen[bytes]:
        """dnsmasq with addresses from `first` to `last`; `first` "" is none of IPv4."""
        command = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--interface=eth0", "--bind-interfaces"]
        command += [
            "--except-interface=lo",
            "--no-hosts",
            *([f"--dhcp-range={first},{last},255.255.255.0,2m"] if first else []),
            *more,
        ]
        command += [
            f"--dhcp-leasefile={self.folder}/leases",
            "--address=/gateway.example/198.51.100.7",
            "--no-resolv",
        ]
        command += ["--dhcp-authoritative", "--no-ping", "--user=root"]
        return in_namespace(
            self.wire.gateway,
            lambda: subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        )

    def unplug(self, server: subprocess.Popen[bytes]) -> None:
        """Take the cable out; what is at its other end later does not know us."""
        self.wire.rtnl_gateway.set("eth0", up=False)
        lab.wait_for("the loss of the link", lambda: not self.status()["link"])
        server.kill()
        server.wait()
        (self.folder / "leases").unlink()

    def status(self) -> dict:
        return json.loads(self.server.answer("tunnel", ETHERNET_STATUS, 0, b"").payload)

    def addresses(self) -> list[str]:
        return [str(address) for address in self.wire.rtnl_device.addresses("eth0") if address.version == 4]


@pytest.fixture
def machine(tmp_path):
    lab.require_tools()
    if shutil.which("dnsmasq") is None:
        pytest.skip("needs dnsmasq: apt-get install dnsmasq-base")
    with lab.closing_all() as things:

        def make(*apps: AppPlan, six: bool = False, **config: object) -> Machine:
            return Machine(things, tmp_path, parse(config), *apps, six=six)

        yield make, things


def started(things: list, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    def end() -> None:
        process.kill()
        process.wait()

    things.append(end)
    return process


def test_a_lease_a_name_and_a_new_network(machine):
    make, things = machine
    device = make()
    server = started(things, device.dhcp("192.0.2.100"))
    lab.wait_for("a lease", lambda: device.status()["lease"]["state"] == "bound")
    lab.wait_for("its address", lambda: device.status()["addresses"])
    status = device.status()
    assert status["addresses"] == device.addresses() and status["addresses"][0].endswith("/24")
    assert status["gateway"] == lab.GATEWAY_ADDRESS and status["dns"] == [lab.GATEWAY_ADDRESS]
    assert status["lease"]["server"] == lab.GATEWAY_ADDRESS and 0 < status["lease"]["expires_in"] <= 120
    answer = device.server.answer("tunnel", ETHERNET_RESOLVE, 0, b"gateway.example")
    assert answer.payload == b"198.51.100.7"
    assert device.server.answer("tunnel", ETHERNET_RESOLVE, 0, b"nobody.example").status is Status.NOT_FOUND
    # The cable goes to another network, whose server does not know our address.
    first = device.addresses()
    device.unplug(server)
    rtnl = device.wire.rtnl_gateway
    rtnl.delete_address("eth0", ip_interface(f"{lab.GATEWAY_ADDRESS}/24"))
    rtnl.add_address("eth0", ip_interface("192.0.2.30/24"))
    rtnl.set("eth0", up=True)
    started(things, device.dhcp("192.0.2.150"))
    lab.wait_for("another lease", lambda: device.status()["lease"]["server"] == "192.0.2.30")
    lab.wait_for("its address", lambda: device.addresses() == device.status()["addresses"] != [])
    assert device.status()["gateway"] == "192.0.2.30"
    assert first and len(device.addresses()) == 1


def test_addresses_from_the_manifest(machine):
    make, _things = machine
    device = make(
        mode="static",
        addresses=["192.0.2.60/24"],
        gateway="192.0.2.20",
        dns=["192.0.2.53"],
        mtu=1400,
    )
    lab.wait_for("the addresses", lambda: device.addresses() == ["192.0.2.60/24"])
    status = device.status()
    assert status["dns"] == ["192.0.2.53"] and status["mtu"] == 1400 and status["lease"] is None
    lab.wait_for("the gateway", lambda: device.status()["gateway"] == "192.0.2.20")


def test_an_interface_that_is_not_there(machine):
    make, _things = machine
    with pytest.raises(KosError, match="no network interface 'eth7'"):
        make(interface="eth7")


SIX = "2001:db8:1::20"
BY_ROUTER = ("--enable-ra", "--dhcp-range=::,constructor:eth0,ra-only,64", f"--address=/six.example/{SIX}")


def global_addresses(device: Machine) -> list[str]:
    found = device.wire.rtnl_device.addresses("eth0")
    return [str(address) for address in found if address.version == 6 and not address.ip.is_link_local]


def tunnel_to(things: list, device: Machine, host: str) -> GatewayProcess:
    """A gateway at the other end of the wire, and the device's tunnel to it."""
    echo = EchoServer(device.wire.gateway)
    things.append(echo.close)
    services = [f"echo=7:127.0.0.1:{echo.port}"]
    gateway = GatewayProcess(device.wire, device.folder / "gateway", user=False, services=services)
    things.append(gateway.stop)
    gateway.allow({"device-1": (device.device.key.public, ["10.90.1.0/24"])})
    answer = device.device.tunnel.ask(
        op="peer", public_key=gateway.public_key, endpoint=f"{host}:51820", keep_alive=1
    )
    assert answer["ok"], answer
    return gateway


def test_a_network_that_has_ipv6_alone(machine):
    """Address, route and name server from the router; the tunnel goes over IPv6."""
    make, things = machine
    device = make(STATION, six=True)
    device.wire.rtnl_gateway.add_address("eth0", ip_interface(f"{SIX}/64"))
    started(things, device.dhcp("", *BY_ROUTER))
    lab.wait_for("an address", lambda: global_addresses(device))
    lab.wait_for("a name server", lambda: device.status()["dns"])
    status = device.status()
    assert set(global_addresses(device)) <= set(status["addresses"]) and status["gateway6"].startswith(
        "fe80:"
    )
    assert device.server.answer("tunnel", ETHERNET_RESOLVE, 0, b"six.example").payload == SIX.encode()
    gateway = tunnel_to(things, device, f"[{SIX}]")
    assert device.device.run("station", ECHO, "10.90.0.1", "7") == "through the tunnel"
    (report,) = gateway.status()["devices"]
    assert report["endpoint"].startswith("[2001:db8:1:")


def test_both_families_beside_each_other(machine):
    make, things = machine
    device = make(six=True)
    device.wire.rtnl_gateway.add_address("eth0", ip_interface(f"{SIX}/64"))
    started(
        things,
        device.dhcp(
            "192.0.2.100", *BY_ROUTER, "--address=/both.example/192.0.2.7", "--address=/both.example/::7"
        ),
    )
    lab.wait_for("a lease", lambda: device.addresses())
    lab.wait_for("an address of the router's", lambda: global_addresses(device))
    lab.wait_for("both", lambda: len(device.status()["dns"]) == 2)
    answer = device.server.answer("tunnel", ETHERNET_RESOLVE, 0, b"both.example")
    assert answer.payload == b"192.0.2.7\n::7"


def test_ipv6_addresses_from_the_manifest(machine):
    """Exactly those: what a router announces is not taken."""
    make, things = machine
    device = make(
        six=True,
        mode="static",
        addresses=["192.0.2.60/24", "2001:db8:2::60/64"],
        gateway6="2001:db8:2::1",
        dns=["192.0.2.53"],
    )
    device.wire.rtnl_gateway.add_address("eth0", ip_interface(f"{SIX}/64"))
    with lab.Capture(device.wire.gateway, "eth0") as capture:
        started(things, device.dhcp("", *BY_ROUTER))
        lab.wait_for(
            "an announcement",
            lambda: capture.seen(lambda frame: frame[12:14] == b"\x86\xdd" and frame[54] == 134),
        )
    lab.wait_for("the addresses", lambda: global_addresses(device) == ["2001:db8:2::60/64"])
    lab.wait_for("the gateway", lambda: device.status()["gateway6"] == "2001:db8:2::1")
    assert device.addresses() == ["192.0.2.60/24"]


def test_the_outside_sees_only_wireguard_and_dhcp(machine, record_property, capsys):
    """And after the network gave the device another address, the tunnel goes on."""
    make, things = machine
    device = make(STATION)
    with lab.Capture(device.wire.gateway, "eth0") as capture:
        server = started(things, device.dhcp("192.0.2.100", last="192.0.2.149"))
        lab.wait_for("a lease", lambda: device.addresses())
        gateway = tunnel_to(things, device, lab.GATEWAY_ADDRESS)
        assert device.device.run("station", ECHO, "10.90.0.1", "7") == "through the tunnel"
    ports = {packet.udp_port for packet in capture.packets() if packet.kind != "arp"}
    assert ports == {51820, 67}
    assert not any(b"through the tunnel" in packet.data for packet in capture.packets())

    def ethernet(label: int, payload: bytes) -> tuple[bool, bytes]:
        answer = device.server.answer("tunnel", label, 0, payload)
        return answer.status is Status.OK, answer.payload

    service = lab.TunnelService(device.device, ethernet, gateway, lab.GATEWAY_ADDRESS)
    things.append(service.close)
    lab.wait_for("the service is up", lambda: any("connected: " in state for state in service.states))
    first = device.addresses()
    device.unplug(server)
    device.wire.rtnl_gateway.set("eth0", up=True)
    began = time.monotonic()
    started(things, device.dhcp("192.0.2.180"))
    lab.wait_for("another address", lambda: device.addresses() not in (first, []))
    device.device.run("station", UNTIL_ANSWERED, timeout=PATIENCE)
    seconds = round(time.monotonic() - began, 1)
    record_property("new DHCP address", seconds)
    with capsys.disabled():
        print(f"\nnew DHCP address: {seconds} s to recover", end=" ")
    address = device.addresses()[0].split("/")[0]
    lab.wait_for("it is used", lambda: gateway.status()["devices"][0]["endpoint"].startswith(f"{address}:"))
