"""Netlink, WireGuard's two protocols and DNS: what is written is what is read, and noise is an error."""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kos.abi.errors import KosError
from kos.network import dns, kernel_wireguard, netlink, outer_sockets, rdnss, uapi
from kos.network.namespaces import in_namespace, new_network_namespace
from kos.network.netlink import NetlinkError
from kos.network.rtnl import Rtnl
from kos.network.wireguard import Change, Endpoint, Peer, decode_key, encode_key, parse_endpoint

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
PEER = Peer(OTHER, Endpoint("192.0.2.1", 51820), (ip_network("10.1.0.0/16"), ip_network("fd00::/64")), 25)


def test_a_change_as_text():
    text = uapi.set_request(Change(KEY, 51820, True, (PEER,), (KEY,)))
    assert text.splitlines() == [
        "set=1",
        f"private_key={KEY.hex()}",
        "listen_port=51820",
        "replace_peers=true",
        f"public_key={KEY.hex()}",
        "remove=true",
        f"public_key={OTHER.hex()}",
        "endpoint=192.0.2.1:51820",
        "persistent_keepalive_interval=25",
        "replace_allowed_ips=true",
        "allowed_ip=10.1.0.0/16",
        "allowed_ip=fd00::/64",
        "",
    ]
    assert KEY.hex() not in repr(Change(KEY))


def test_a_port_that_somebody_has_is_named(monkeypatch):
    control = uapi.UapiControl(Path("/nowhere"))
    monkeypatch.setattr(control, "_ask", lambda _request: f"errno={-errno.EADDRINUSE}\n\n")
    with pytest.raises(KosError, match="UDP port 51820 is in use"):
        control.apply(Change(KEY, 51820))
    with pytest.raises(KosError, match="refused the configuration"):
        control.apply(Change(KEY))


def test_a_state_as_text():
    answer = (
        f"private_key={bytes(32).hex()}\nlisten_port=7\npublic_key={OTHER.hex()}\nendpoint=[2001:db8::1]:9\n"
    )
    answer += "last_handshake_time_sec=5\nlast_handshake_time_nsec=500000000\nrx_bytes=3\ntx_bytes=4\n"
    answer += "persistent_keepalive_interval=0\nallowed_ip=10.1.0.0/16\nerrno=0\n\n"
    status = uapi.parse_status(answer)
    assert status.public_key is None and status.listen_port == 7
    (peer,) = status.peers
    assert peer.endpoint == Endpoint("2001:db8::1", 9)
    assert (peer.last_handshake, peer.rx_bytes, peer.tx_bytes) == (5.5, 3, 4)
    for wrong in ("errno=-22\n\n", "listen_port=1\n\n", ""):
        with pytest.raises(KosError):
            uapi.parse_status(wrong)


def test_a_change_for_the_kernel_is_what_the_kernel_would_answer():
    """The kernel's dump has the same attributes as a change, so one can be read as the other."""
    head, *rest = kernel_wireguard.change_messages(
        "wg0", Change(KEY, 51820, True, (PEER,) * 130, (KEY,) * 70)
    )
    assert dict(netlink.attributes(head))[kernel_wireguard.DEVICE_PRIVATE_KEY] == KEY
    assert len(rest) == 2 + 3
    assert all(len(message) < 0xFFFF for message in rest)
    status = kernel_wireguard.read_status([bytes(4) + rest[2]])
    assert status.peers[0].endpoint == PEER.endpoint
    assert status.peers[0].allowed_ips[: len(PEER.allowed_ips or ())] == PEER.allowed_ips
    assert status.peers[0].keepalive == 25


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200))
def test_noise_for_netlink(data):
    try:
        list(netlink.attributes(data))
        list(netlink.messages(data))
    except KosError:
        return


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(st.integers(1, 100), st.binary(max_size=50), max_size=10))
def test_attributes_there_and_back(values):
    data = b"".join(netlink.attribute(kind, value) for kind, value in values.items())
    assert dict(netlink.attributes(data)) == values


def test_what_the_kernel_refuses_is_an_error():
    if os.geteuid() != 0:
        pytest.skip("not applicable: only root may make a namespace here")
    namespace = new_network_namespace()
    rtnl = in_namespace(namespace, Rtnl)
    with pytest.raises(
        NetlinkError, match="the kernel refused to add the nonsense link x: Operation not supported"
    ):
        rtnl.add("x", "nonsense")
    with pytest.raises(KosError, match="no network interface 'eth9'"):
        rtnl.set("eth9", up=True)
    rtnl.add_veth("d0", "d1", namespace)
    rtnl.add_address("d0", ip_interface("192.0.2.1/24"))
    assert rtnl.addresses("d0") == [ip_interface("192.0.2.1/24")]
    rtnl.delete_address("d0", ip_interface("192.0.2.1/24"))
    assert rtnl.addresses("d0") == []
    assert rtnl.default_route() is None
    rtnl.close()
    os.close(namespace)


@pytest.mark.parametrize("text", ["", "192.0.2.1", "192.0.2.1:0", "example.org:1", ":1", "192.0.2.1:65536"])
def test_endpoints_that_are_none(text):
    with pytest.raises(KosError, match="expected ADDRESS:PORT"):
        parse_endpoint(text)


def test_keys():
    assert decode_key(encode_key(KEY)) == KEY
    for wrong in ("", "x", encode_key(KEY[:31]), encode_key(KEY) + "\n"):
        with pytest.raises(KosError, match="32 bytes in base64"):
            decode_key(wrong)


# --- DNS --------------------------------------------------------------------------------------------------
QUESTION = dns.Question(7, "gateway.example", dns.TYPE_A)


def test_a_question_and_its_answer():
    assert dns.decode_question(dns.encode_question(QUESTION)) == QUESTION
    found = (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))
    answer = dns.decode_answer(dns.encode_answer(QUESTION, dns.NO_ERROR, found, 60), QUESTION)
    assert answer == dns.Answer(7, dns.NO_ERROR, found, 60)


def test_an_answer_to_another_question():
    answer = dns.encode_answer(QUESTION, dns.NO_ERROR, (), 60)
    for asked in (dns.Question(8, "gateway.example", 1), dns.Question(7, "other.example", 1)):
        with pytest.raises(KosError, match="does not answer our question"):
            dns.decode_answer(answer, asked)


def test_names_that_lead_in_circles():
    header = struct.pack("!6H", 7, 0x8000, 1, 0, 0, 0)
    for name in (b"\xc0\x0c", b"\x01a\xc0\x0c", b"\xc0\xff", b"\x41" + b"a" * 65 + b"\0", b"\x05ab"):
        with pytest.raises(KosError):
            dns.decode_question(header[:2] + b"\0\0" + header[4:] + name + b"\0\x01\0\x01")


@pytest.mark.parametrize("name", ["", "a..b", "a" * 64, ".".join(["abc"] * 64)])
def test_names_that_are_none(name):
    with pytest.raises(KosError, match="is no host name"):
        dns.encode_name(name)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=300), st.integers(0, 80))
def test_noise_for_dns(noise, place):
    data = bytearray(dns.encode_answer(QUESTION, 0, (IPv4Address("192.0.2.1"),), 60))
    data[place : place + len(noise)] = noise
    for read in (dns.decode_question, lambda raw: dns.decode_answer(raw, QUESTION)):
        try:
            read(bytes(data))
        except KosError:
            continue


# --- the relay of an ordinary user ------------------------------------------------------------------------
def test_addresses_as_the_kernel_has_them():
    four = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", 51820, socket.inet_aton("192.0.2.1"))
    six = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16s4x", 7, 0, bytes(15) + b"\1")
    assert outer_sockets.decode_address(four) == ("192.0.2.1", 51820)
    assert outer_sockets.decode_address(six) == ("::1", 7)
    for wrong in (b"", four[:-1], six[: len(four)], b"\0\0" + four[2:]):
        assert outer_sockets.decode_address(wrong) is None


def test_a_machine_whose_calls_are_not_known():
    with pytest.raises(KosError, match="on x86_64 and aarch64 only, this is riscv64"):
        outer_sockets.filter_program("riscv64")


def _announcement(option: bytes, index: int = 3) -> bytes:
    body = struct.pack("=BxHiBB6x", socket.AF_INET6, len(option), index, 134, 0) + option
    return struct.pack("=IHHII", 16 + len(body), rdnss.RTM_NEWNDUSEROPT, 0, 0, 0) + body


def test_name_servers_that_a_router_announces():
    one, other = (ip_address(text).packed for text in ("fe80::1", "2001:db8::53"))
    option = struct.pack("!BBHI", 25, 5, 0, 600) + one + other
    (found,) = rdnss.parse(_announcement(option))
    assert found.index == 3 and [str(each) for each in found.servers] == ["fe80::1", "2001:db8::53"]
    gone = struct.pack("!BBHI", 25, 3, 0, 0) + one
    assert [each.servers for each in rdnss.parse(_announcement(option) + _announcement(gone))][1] == ()
    many = struct.pack("!BBHI", 25, 9, 0, 600) + one * 4
    assert len(next(rdnss.parse(_announcement(many))).servers) == rdnss.SERVERS_MAX
    for wrong in (option[:-1], struct.pack("!BBHI", 31, 3, 0, 600) + one, b"", option[:8]):
        assert list(rdnss.parse(_announcement(wrong))) == []


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_noise_is_no_announcement(data):
    list(rdnss.parse(data))
    list(rdnss.parse(_announcement(data)))
