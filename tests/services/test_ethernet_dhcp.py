"""DHCP: messages as the RFC has them, the client's life, and what hostile or broken servers send."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import IPv4Address, IPv4Interface

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kos.abi.errors import KosError
from kos.services.ethernet import dhcp_packet as wire
from kos.services.ethernet.config import parse
from kos.services.ethernet.dhcp import LEASE_MAX, DhcpClient, Send, State

MAC = bytes.fromhex("020000000001")
SERVER = IPv4Address("192.0.2.1")
ADDRESS = IPv4Address("192.0.2.50")


def from_server(
    asked: bytes, kind: int, address: IPv4Address = ADDRESS, options: dict[int, bytes] | None = None
) -> bytes:
    """A server's answer to a client's packet."""
    head = (asked[0] & 0xF) * 4
    body = asked[head + 8 :]
    transaction = body[4:8]
    chosen = {
        53: bytes([kind]),
        54: SERVER.packed,
        1: bytes([255, 255, 255, 0]),
        3: SERVER.packed,
        6: SERVER.packed + IPv4Address("192.0.2.2").packed,
        51: struct.pack("!I", 600),
        **(options or {}),
    }
    raw = b"".join(bytes([k, len(v)]) + v for k, v in chosen.items() if v is not None)
    answer = struct.pack("!BBBB", 2, 1, 6, 0) + transaction + bytes(4) + bytes(4) + address.packed + bytes(8)
    answer += MAC + bytes(10) + bytes(192) + b"\x63\x82\x53\x63" + raw + b"\xff"
    udp = struct.pack("!HHHH", 67, 68, 8 + len(answer), 0) + answer
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, SERVER.packed, ADDRESS.packed)
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    return ip[:10] + struct.pack("!H", ~total & 0xFFFF) + ip[12:] + udp


def kind_of(send: Send) -> int:
    body = send.packet[28:]
    return body[body.index(b"\x63\x82\x53\x63") + 6]


@pytest.fixture
def client() -> DhcpClient:
    numbers = iter(range(1000, 100000, 7))
    return DhcpClient(MAC, lambda n: next(numbers) % n)


def bound(client: DhcpClient, now: float = 0.0, **options: object) -> DhcpClient:
    client.link_up(now)
    (discover,) = client.step(now)
    (request,) = client.received(from_server(discover.packet, wire.OFFER), now)
    assert client.received(from_server(request.packet, wire.ACK), now) == []
    assert client.state is State.BOUND
    return client


def test_from_discover_to_a_lease(client):
    client.link_up(0.0)
    (discover,) = client.step(0.0)
    assert kind_of(discover) == wire.DISCOVER and discover.destination is None
    (request,) = client.received(from_server(discover.packet, wire.OFFER), 0.1)
    assert kind_of(request) == wire.REQUEST
    client.received(from_server(request.packet, wire.ACK), 0.2)
    assert client.lease is not None
    assert client.lease.address == IPv4Interface("192.0.2.50/24")
    assert client.lease.gateway == SERVER
    assert client.lease.dns == (SERVER, IPv4Address("192.0.2.2"))
    assert client.lease.renew_at == pytest.approx(300.1, abs=0.2)
    assert client.deadline == client.lease.renew_at


def test_what_is_sent_is_a_whole_packet(client):
    client.link_up(0.0)
    (discover,) = client.step(0.0)
    packet = discover.packet
    assert packet[0] == 0x45 and struct.unpack_from("!H", packet, 2)[0] == len(packet)
    assert sum(struct.unpack("!10H", packet[:20])) % 0xFFFF == 0
    assert packet[12:20] == bytes(4) + b"\xff" * 4
    assert len(packet) - 28 >= wire.MIN_SIZE


def test_a_lease_is_renewed_in_time_at_its_server(client):
    bound(client)
    assert client.step(299.0) == []
    (request,) = client.step(300.0)
    assert client.state is State.RENEWING
    assert request.destination == SERVER
    assert request.packet[12:16] == ADDRESS.packed
    client.received(from_server(request.packet, wire.ACK), 300.5)
    assert client.state is State.BOUND and client.lease is not None
    assert client.lease.expires_at == pytest.approx(900.0)


def test_a_server_that_is_gone_is_replaced_and_then_the_lease_ends(client):
    bound(client)
    states, now = set(), 300.0
    while client.lease is not None and now < 700:
        assert client.deadline is not None
        now = max(now, client.deadline)
        client.step(now)
        states.add(client.state)
    assert {State.RENEWING, State.REBINDING, State.SELECTING} <= states
    assert now == pytest.approx(600.0, abs=1.0)


def test_a_refusal_ends_the_lease_at_once(client):
    bound(client)
    (request,) = client.step(300.0)
    (discover,) = client.received(from_server(request.packet, wire.NAK), 301.0)
    assert client.lease is None and kind_of(discover) == wire.DISCOVER


def test_the_link_comes_back_to_another_network(client):
    bound(client)
    client.link_down()
    assert client.deadline is None and client.step(10.0) == []
    client.link_up(20.0)
    (request,) = client.step(20.0)
    assert kind_of(request) == wire.REQUEST and client.state is State.REBINDING
    assert client.lease is not None
    client.received(from_server(request.packet, wire.NAK), 20.5)
    assert client.lease is None and client.state is State.SELECTING


def test_the_link_comes_back_and_nobody_knows_our_address(client):
    bound(client)
    client.link_down()
    client.link_up(20.0)
    now = 20.0
    while client.state is State.REBINDING:
        client.step(now)
        assert client.deadline is not None
        now = client.deadline
    assert client.state is State.SELECTING and client.lease is None
    assert now < 90


def test_tries_are_spaced_further_and_further(client):
    client.link_up(0.0)
    now, pauses = 0.0, []
    for _ in range(8):
        assert len(client.step(now)) == 1
        assert client.deadline is not None
        pauses.append(client.deadline - now)
        now = client.deadline
    assert pauses[0] < 3 and 60 < pauses[-1] < 66
    assert pauses == sorted(pauses, key=lambda p: round(p / 2))


@pytest.mark.parametrize(
    "change",
    [{1: None}, {54: None}, {1: bytes([255, 0, 255, 0])}, {53: None}, {53: b"\x05\x05"}],
    ids=["no mask", "no server", "a mask with holes", "no type", "two types"],
)
def test_an_offer_that_cannot_become_a_lease(client, change):
    client.link_up(0.0)
    (discover,) = client.step(0.0)
    with contextlib.suppress(KosError):
        assert client.received(from_server(discover.packet, wire.OFFER, options=change), 0.0) == []
    assert client.state is State.SELECTING


@pytest.mark.parametrize("address", ["127.0.0.1", "224.0.0.1", "0.0.0.0", "192.0.2.255"])
def test_an_address_that_no_host_can_have(client, address):
    client.link_up(0.0)
    (discover,) = client.step(0.0)
    with pytest.raises(KosError, match="no host can have"):
        client.received(from_server(discover.packet, wire.OFFER, IPv4Address(address)), 0.0)


def test_absurd_times_are_bounded(client):
    client.link_up(0.0)
    (discover,) = client.step(0.0)
    forever = {51: b"\xff" * 4, 58: b"\xff" * 4, 59: bytes(4)}
    (request,) = client.received(from_server(discover.packet, wire.OFFER), 0.0)
    client.received(from_server(request.packet, wire.ACK, options=forever), 0.0)
    assert client.lease is not None
    assert client.lease.expires_at == LEASE_MAX
    assert 0 < client.lease.renew_at < client.lease.rebind_at < client.lease.expires_at


def test_answers_to_others_are_not_taken(client):
    client.link_up(0.0)
    client.step(0.0)
    other = wire.encode(wire.DISCOVER, 99, MAC)
    with pytest.raises(KosError, match="somebody else"):
        client.received(from_server(other, wire.OFFER), 0.0)
    assert client.state is State.SELECTING


def test_a_packet_one_byte_too_long():
    with pytest.raises(KosError, match="1501 bytes"):
        wire.decode(bytes(1501))


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=600), st.integers(0, 600))
def test_damaged_packets_are_refused_and_nothing_else(noise, place):
    good = bytearray(from_server(wire.encode(wire.DISCOVER, 1, MAC), wire.OFFER))
    good[place : place + len(noise)] = noise
    try:
        wire.decode(bytes(good))
    except KosError:
        return


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"speed": 1}, "unknown setting 'speed'"),
        ({"mode": "magic"}, "expected dhcp or static"),
        ({"mode": "static"}, "static without addresses"),
        ({"mode": "static", "addresses": ["192.0.2.300/24"]}, "192.0.2.300"),
        ({"mtu": 575}, "expected 576 to 9000"),
        ({"dns": ["192.0.2.1"] * 4}, "at most 3"),
        ({"interface": "a" * 16}, "at most 15"),
    ],
)
def test_settings_that_are_wrong(config, error):
    with pytest.raises(KosError, match=error):
        parse(config)
