"""DHCP messages inside their UDP and IPv4 packets (RFC 2131, RFC 2132). Pure.

The client speaks before it has an address, so it makes whole IPv4 packets itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from kos.abi.errors import KosError

PACKET_MAX = 1500  # bytes of an IPv4 packet that we look at
MIN_SIZE = 300  # bytes of a DHCP message: some relays drop shorter ones (RFC 1542, 2.1)
CLIENT_PORT, SERVER_PORT = 68, 67
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE = 1, 2, 3, 4, 5, 6, 7
OPTION_MASK, OPTION_ROUTER, OPTION_DNS, OPTION_MTU = 1, 3, 6, 26
OPTION_ADDRESS, OPTION_LEASE, OPTION_TYPE, OPTION_SERVER = 50, 51, 53, 54
OPTION_PARAMETERS, OPTION_MESSAGE, OPTION_RENEWAL, OPTION_REBINDING = 55, 56, 58, 59
OPTION_CLIENT, OPTION_OVERLOAD = 61, 52
_PARAMETERS = bytes([OPTION_MASK, OPTION_ROUTER, OPTION_DNS, OPTION_MTU, OPTION_LEASE, 58, 59])
_COOKIE = b"\x63\x82\x53\x63"
_FIXED = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_BROADCAST_FLAG = 0x8000
_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_ANY, _ALL = IPv4Address("0.0.0.0"), IPv4Address("255.255.255.255")


@dataclass(frozen=True)
class Message:
    """What a server said."""

    kind: int
    transaction: int
    mac: bytes
    address: IPv4Address
    server: IPv4Address | None
    options: dict[int, bytes] = field(default_factory=dict)

    def addresses(self, option: int) -> tuple[IPv4Address, ...]:
        raw = self.options.get(option, b"")
        return tuple(IPv4Address(raw[i : i + 4]) for i in range(0, len(raw) - 3, 4))

    def whole(self, option: int) -> int | None:
        """A 16 or 32-bit number; None when it is not there or of another size."""
        raw = self.options.get(option, b"")
        return int.from_bytes(raw, "big") if len(raw) in (2, 4) else None


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _option(kind: int, value: bytes) -> bytes:
    return bytes([kind, len(value)]) + value


def encode(
    kind: int,
    transaction: int,
    mac: bytes,
    *,
    source: IPv4Address = _ANY,
    destination: IPv4Address = _ALL,
    requested: IPv4Address | None = None,
    server: IPv4Address | None = None,
    seconds: int = 0,
) -> bytes:
    """A client's message as an IPv4 packet. With a source it renews that address and asks without
    broadcast."""
    ciaddr = source.packed
    flags = 0 if source != _ANY else _BROADCAST_FLAG
    body = _FIXED.pack(
        1, 1, 6, 0, transaction, min(seconds, 0xFFFF), flags, ciaddr, bytes(4), bytes(4), bytes(4),
        mac + bytes(10), bytes(64), bytes(128),
    )  # fmt: skip
    body += _COOKIE + _option(OPTION_TYPE, bytes([kind])) + _option(OPTION_CLIENT, b"\x01" + mac)
    if requested is not None:
        body += _option(OPTION_ADDRESS, requested.packed)
    if server is not None:
        body += _option(OPTION_SERVER, server.packed)
    if kind in (DISCOVER, REQUEST):
        body += _option(OPTION_PARAMETERS, _PARAMETERS)
    body = (body + b"\xff").ljust(MIN_SIZE, b"\0")
    pseudo = source.packed + destination.packed + struct.pack("!HH", 17, _UDP.size + len(body))
    udp = _UDP.pack(CLIENT_PORT, SERVER_PORT, _UDP.size + len(body), 0)
    check = _checksum(pseudo + udp + body) or 0xFFFF
    udp = _UDP.pack(CLIENT_PORT, SERVER_PORT, _UDP.size + len(body), check)
    size = _IP.size + len(udp) + len(body)
    head = _IP.pack(0x45, 0, size, 0, 0, 64, 17, 0, source.packed, destination.packed)
    head = _IP.pack(0x45, 0, size, 0, 0, 64, 17, _checksum(head), source.packed, destination.packed)
    return head + udp + body


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(data):
        kind = data[offset]
        if kind == 255:
            return
        if kind == 0:
            offset += 1
            continue
        if offset + 2 > len(data) or offset + 2 + data[offset + 1] > len(data):
            raise KosError("a DHCP option goes past the end of its message")
        size = data[offset + 1]
        yield kind, data[offset + 2 : offset + 2 + size]
        offset += 2 + size


def decode(packet: bytes) -> Message:
    """A server's message from an IPv4 packet.

    Raises:
        KosError: not one, damaged, or too long.
    """
    if not _IP.size + _UDP.size + _FIXED.size + 4 <= len(packet) <= PACKET_MAX:
        raise KosError(f"a packet of {len(packet)} bytes is no DHCP message")
    head = (packet[0] & 0xF) * 4
    _v, _tos, size, _id, fragment, _ttl, protocol, _sum, _source, _to = _IP.unpack_from(packet)
    if packet[0] >> 4 != 4 or head < _IP.size or protocol != 17 or fragment & 0x3FFF:
        raise KosError("no whole UDP packet")
    if _checksum(packet[:head]) != 0 or not head + _UDP.size + _FIXED.size + 4 <= size <= len(packet):
        raise KosError("an IPv4 header that is damaged or lies about its size")
    source, target, length, _check = _UDP.unpack_from(packet, head)
    body = packet[head + _UDP.size : head + length]
    if (source, target) != (SERVER_PORT, CLIENT_PORT) or len(body) < _FIXED.size + 4:
        raise KosError("no message from a DHCP server")
    fields = _FIXED.unpack_from(body)
    op, hardware, hlen, transaction, yiaddr, mac = *fields[:3], fields[4], fields[8], fields[11]
    if (op, hardware, hlen) != (2, 1, 6) or body[_FIXED.size : _FIXED.size + 4] != _COOKIE:
        raise KosError("no DHCP reply for Ethernet")
    options: dict[int, bytes] = {}
    for kind, value in _options(body[_FIXED.size + 4 :]):
        options[kind] = options.get(kind, b"") + value  # long options come in parts (RFC 3396)
    kind = options.get(OPTION_TYPE, b"")
    if len(kind) != 1:
        raise KosError("a DHCP message without a type")
    server = options.get(OPTION_SERVER, b"")
    return Message(
        kind[0],
        transaction,
        mac[:6],
        IPv4Address(yiaddr),
        IPv4Address(server) if len(server) == 4 else None,
        options,
    )
