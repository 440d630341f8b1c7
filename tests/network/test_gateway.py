"""The gateway alone: settings, lists of devices, names, clocks."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import time
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from kos.abi.errors import KosError
from kos.build import native
from kos.network import dns
from kos.network.namespaces import in_namespace, new_network_namespace
from kos.network.rtnl import Rtnl
from kos.network.wireguard import Change, Peer, decode_key
from kos.network.wireguard_go import WireguardGo
from kos.server.gateway import registry
from kos.server.gateway.gateway import anew
from kos.server.gateway.names import NameServer
from kos.server.gateway.registry import DevicePeer, FilePeers, check_peers, difference
from kos.server.gateway.relay import Relay
from kos.server.gateway.service import load_or_make_key, public_key
from kos.server.gateway.settings import GatewaySettings, Service, parse_service
from kos.server.gateway.watch import FileWatch
from tests.network import lab, noise
from tests.network.lab import KeyPair, Wire

pytestmark = pytest.mark.group("network")

OWN = IPv4Network("10.90.0.0/16")


def device(name: str, *addresses: str, key: bytes | None = None) -> DevicePeer:
    return DevicePeer(name, key or KeyPair.new().public, tuple(IPv4Network(text) for text in addresses))


def check(*peers: DevicePeer) -> dict[bytes, DevicePeer]:
    return check_peers(peers, OWN, "10.90.0.1/32")


def test_services_as_the_command_line_has_them():
    assert parse_service("mqtt=4182") == Service("mqtt", 4182, "127.0.0.1", 4182)
    assert parse_service("web=80:192.0.2.1:8080") == Service("web", 80, "192.0.2.1", 8080)


@pytest.mark.parametrize(
    "text", ["", "mqtt", "mqtt=", "mqtt=0", "mqtt=65536", "mqtt=1:2", "Mqtt=1", "a=1:b:c"]
)
def test_services_that_are_none(text):
    with pytest.raises(KosError):
        parse_service(text)


def test_settings_that_contradict_themselves():
    one, other = Service("a", 1, "127.0.0.1", 1), Service("b", 1, "127.0.0.1", 2)
    with pytest.raises(KosError, match="two services have the same port"):
        GatewaySettings(services=[one, other])
    with pytest.raises(KosError, match="no room for devices"):
        GatewaySettings(address=IPv4Interface("10.0.0.1/31"))
    with pytest.raises(KosError, match="33 services, at most 32"):
        GatewaySettings(services=[Service(f"s{n}", n + 1, "127.0.0.1", 1) for n in range(33)])


def test_lists_of_devices_that_contradict_themselves(monkeypatch):
    key = KeyPair.new().public
    with pytest.raises(KosError, match="the same public key"):
        check(device("a", "10.90.1.1/32", key=key), device("b", "10.90.1.2/32", key=key))
    with pytest.raises(KosError, match=r"share the address 10\.90\.1\.1"):
        check(device("a", "10.90.1.0/24"), device("b", "10.90.1.1/32"))
    with pytest.raises(KosError, match=r"(the gateway and b|b and the gateway) share"):
        check(device("b", "10.90.0.0/24"))
    with pytest.raises(KosError, match="outside the gateway's network"):
        check(device("a", "192.0.2.1/32"))
    monkeypatch.setattr(registry, "PEERS_MAX", 1)
    with pytest.raises(KosError, match="more than 1 devices"):
        check(device("a", "10.90.1.1/32"), device("b", "10.90.1.2/32"))


def test_only_what_changed_is_changed():
    one, two, three = (device(name, f"10.90.1.{n}/32") for n, name in enumerate(("a", "b", "c"), start=1))
    old, new = check(one, two), check(two, three)
    assert difference(old, new) == ([three], [one.public_key])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[", "not JSON"),
        ("[]", "expected an object"),
        ('{"a": {}}', "expected public_key and addresses"),
        ('{"a": {"public_key": "x", "addresses": ["10.90.1.1"]}}', "32 bytes in base64"),
        (json.dumps({"a": {"public_key": "A" * 43 + "=", "addresses": []}}), "1 to 64 addresses"),
        (json.dumps({"a": {"public_key": "A" * 43 + "=", "addresses": ["x"]}}), "IPv4 networks"),
    ],
)
def test_files_of_devices_that_are_none(tmp_path, text, error):
    (tmp_path / "devices").write_text(text)
    with pytest.raises(KosError, match=error):
        FilePeers(tmp_path / "devices").peers()


def test_a_file_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "FILE_MAX", 10)
    (tmp_path / "devices").write_text(" " * 11)
    with pytest.raises(KosError, match="at most 10 bytes"):
        FilePeers(tmp_path / "devices").peers()


def test_the_key_is_made_once_and_kept_from_others(tmp_path):
    key = load_or_make_key(tmp_path / "new" / "gateway.key")
    assert load_or_make_key(tmp_path / "new" / "gateway.key") == key
    assert (tmp_path / "new" / "gateway.key").stat().st_mode & 0o777 == 0o600
    assert len(public_key(key)) == 44
    (tmp_path / "new" / "gateway.key").chmod(0o640)
    with pytest.raises(KosError, match="readable by others"):
        load_or_make_key(tmp_path / "new" / "gateway.key")


def test_names():
    settings = GatewaySettings(
        services=[Service("mqtt", 4182, "127.0.0.1", 4182)], names={"db.example": IPv4Address("10.90.0.9")}
    )
    server = NameServer(settings)

    def ask(name: str, kind: int = dns.TYPE_A) -> dns.Answer:
        question = dns.Question(7, name, kind)
        answer = server.answer(dns.encode_question(question))
        assert answer is not None
        return dns.decode_answer(answer, question)

    assert ask("mqtt.kos").addresses == (IPv4Address("10.90.0.1"),)
    assert ask("DB.example").addresses == (IPv4Address("10.90.0.9"),)
    assert ask("mqtt.kos", dns.TYPE_AAAA) == dns.Answer(7, dns.NO_ERROR)
    assert ask("secret.attacker.example").code == dns.NAME_ERROR
    assert server.answer(b"nonsense") is None


def test_what_a_device_says_before_the_service_answers_arrives():
    """It is there when the connection is accepted, and the service is reached later."""
    lab.require_tools()
    inside = new_network_namespace()

    def say() -> socket.socket:
        device = socket.create_connection(("127.0.0.1", 7), timeout=lab.TIMEOUT)
        device.sendall(b"at once")
        device.shutdown(socket.SHUT_WR)
        return device

    async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    async def main() -> bytes:
        service = await asyncio.start_server(upper, "127.0.0.1", 0)
        relay = Relay(inside, "127.0.0.1", native.pump())
        await relay.listen(Service("echo", 7, "127.0.0.1", service.sockets[0].getsockname()[1]))
        # The loop stands still meanwhile: the kernel takes the connection and what it says.
        with in_namespace(inside, say) as device:
            device.setblocking(False)
            async with asyncio.timeout(lab.TIMEOUT):
                answer = await asyncio.get_running_loop().sock_recv(device, 100)
        await relay.close()
        service.close()
        return answer

    rtnl = in_namespace(inside, Rtnl)
    rtnl.set("lo", up=True)
    rtnl.close()
    assert asyncio.run(main()) == b"AT ONCE"
    os.close(inside)


def test_a_file_that_is_replaced_is_noticed(tmp_path):
    path = tmp_path / "devices"
    watch = FileWatch(path)
    assert not watch.changed()
    (tmp_path / "other").write_text("x")
    assert not watch.changed()
    (tmp_path / "new").write_text("x")
    (tmp_path / "new").rename(path)
    assert watch.changed()
    assert not watch.changed()
    watch.close()


def test_a_clock_that_was_set_back_by_years():
    """A handshake of 2020 after one of 2040 is refused, and taken once the gateway made the peer anew."""
    lab.require_tools()
    wire, inside = Wire(), new_network_namespace()
    private, key = KeyPair.new(), KeyPair.new()
    peers = (Peer(key.public, None, (IPv4Network("10.90.1.2/32"),)),)
    engine = WireguardGo(wire.gateway, inside, "wg0", 1420)
    engine.apply(Change(private_key=private.private, listen_port=51820, peers=peers))
    client = in_namespace(wire.device, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.connect((lab.GATEWAY_ADDRESS, 51820))

    def until_answered(seconds: float) -> None:
        """By a clock that goes on from there: a time stamp is good for once."""
        began = time.monotonic() - seconds
        lab.wait_for("an answer", lambda: answers(client, key, private.public, time.monotonic() - began))

    years = 365 * 86400.0
    until_answered(70 * years)
    assert not answers(client, key, private.public, 50 * years)
    engine.apply(anew(peers))
    until_answered(50 * years)
    client.close()
    engine.stop()
    os.close(inside)
    wire.close()


# The gateway as it is, but for a patience that a test has, and that begins when a file is there.
PATIENCE = 2.0  # seconds
IMPATIENT = f"""
import os
from kos.server.gateway import gateway, service
forgive = gateway.Gateway.forgive_clocks
gateway.Gateway.forgive_clocks = lambda self, now: (
    forgive(self, now, {PATIENCE}) if os.path.exists(os.environ["BEGIN"]) else 0
)
service.FORGIVE_EVERY = 0.5
from kos.tool.main import main
main()
"""


def test_a_gateway_lets_a_clock_that_was_set_back_in_again(tmp_path, record_property, capsys, monkeypatch):
    """By itself, also where the handshake with the late clock never became a session."""
    lab.require_tools()
    begin = tmp_path / "begin"
    monkeypatch.setenv("BEGIN", str(begin))
    wire, key = Wire(), KeyPair.new()
    gateway = lab.GatewayProcess(
        wire, tmp_path / "gateway", user=False, services=[], program=("-c", IMPATIENT)
    )
    try:
        gateway.allow({"device-1": (key.public, ["10.90.1.2/32"])})
        responder = decode_key(gateway.public_key)
        client = in_namespace(wire.device, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with client:
            client.connect((lab.GATEWAY_ADDRESS, gateway.port))
            years = 365 * 86400.0
            lab.wait_for("an answer", lambda: answers(client, key, responder, 70 * years + time.monotonic()))
            assert not answers(client, key, responder, 50 * years)
            begin.touch()
            began = time.monotonic()
            lab.wait_for("an answer", lambda: answers(client, key, responder, 50 * years + time.monotonic()))
            seconds = round(time.monotonic() - began, 1)
            record_property("clock set back by 20 years", seconds)
            with capsys.disabled():
                print(
                    f"\nclock set back by 20 years: {seconds} s to recover, with {PATIENCE:g} s of patience",
                    end=" ",
                )
    finally:
        gateway.stop()
        wire.close()


NUMBERS = itertools.count(7)


def answers(client: socket.socket, key: KeyPair, responder: bytes, seconds: float, wait: float = 0.5) -> bool:
    """Whether the gateway takes a handshake from a device whose clock says so.

    Each has a number of its own: an answer that came too late for the one before is none to this one.
    """
    number = next(NUMBERS)
    client.send(noise.initiation(key.private, responder, number, seconds))
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        client.settimeout(left)
        try:
            if noise.answered(client.recv(2048)) == number:
                return True
        except TimeoutError:
            return False
    return False
