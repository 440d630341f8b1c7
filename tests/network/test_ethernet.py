"""Ethernet on a wire with a DHCP server that others wrote (dnsmasq), through the keeper's sockets."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from ipaddress import ip_interface

import pytest

from kos.abi.errors import KosError
from kos.abi.services import ETHERNET_RESOLVE, ETHERNET_STATUS
from kos.abi.status import Status
from kos.network.keeper_link import KeeperLink
from kos.network.namespaces import in_namespace
from kos.services.ethernet.config import EthernetConfig, parse
from kos.services.ethernet.interface import Interface
from kos.services.ethernet.server import EthernetServer
from tests.network import lab
from tests.network.lab import Wire

pytestmark = pytest.mark.group("network")


class Machine:
    """A device whose interface is its own, with a server of addresses and names at the other end of the
    wire.
    """

    def __init__(self, things: list, folder, config: EthernetConfig) -> None:
        self.wire = Wire()
        things.append(self.wire.close)
        self.wire.rtnl_device.delete_address("eth0", ip_interface(f"{lab.DEVICE_ADDRESS}/24"))
        self.folder = folder
        self.device = lab.Device(self.wire, folder / "keys", lab.plan(), user=False, owned=True)
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

    def dhcp(self, first: str) -> subprocess.Popen[bytes]:
        command = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--interface=eth0", "--bind-interfaces"]
        command += [
            "--except-interface=lo",
            f"--dhcp-range={first},192.0.2.200,255.255.255.0,2m",
            "--no-hosts",
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

        def make(**config: object) -> Machine:
            return Machine(things, tmp_path, parse(config))

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
    device.wire.rtnl_gateway.set("eth0", up=False)
    lab.wait_for("the loss of the link", lambda: not device.status()["link"])
    server.kill()
    server.wait()
    (device.folder / "leases").unlink()
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
