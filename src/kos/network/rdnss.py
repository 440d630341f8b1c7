"""Name servers that an IPv6 router announces (RFC 8106), as the kernel passes them on. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv6Address

from kos.abi.records import dataclass

RTM_NEWNDUSEROPT = 68  # linux/rtnetlink.h
RTMGRP_ND_USEROPT = 1 << 19
OPTION_RDNSS = 25
SERVERS_MAX = 3
_MESSAGE = struct.Struct("=IHHII")  # size, type, flags, sequence, sender
_OPTION = struct.Struct("=BxHiBB6x")  # family, bytes of options, interface, ICMP type and code
_RDNSS = struct.Struct("!BBHI")  # type, length in 8 bytes, reserved, seconds


@dataclass(frozen=True)
class Announced:
    """What one announcement says about an interface; no servers when it takes them back."""

    index: int
    servers: tuple[IPv6Address, ...]


def parse(data: bytes) -> Iterator[Announced]:
    """The announcements among netlink messages; whatever is malformed is left out."""
    offset = 0
    while offset + _MESSAGE.size <= len(data):
        size, kind, *_ = _MESSAGE.unpack_from(data, offset)
        if not _MESSAGE.size <= size <= len(data) - offset:
            return
        if kind == RTM_NEWNDUSEROPT:
            found = _announced(data[offset + _MESSAGE.size : offset + size])
            if found is not None:
                yield found
        offset += size + 3 & ~3


def _announced(body: bytes) -> Announced | None:
    if len(body) < _OPTION.size + _RDNSS.size:
        return None
    _family, size, index, _type, _code = _OPTION.unpack_from(body)
    option = body[_OPTION.size : _OPTION.size + size]
    if len(option) < _RDNSS.size:
        return None
    kind, units, _reserved, seconds = _RDNSS.unpack_from(option)
    if kind != OPTION_RDNSS or len(option) < units * 8 or units < 3:
        return None
    addresses = [IPv6Address(option[start : start + 16]) for start in range(_RDNSS.size, units * 8 - 15, 16)]
    return Announced(index, tuple(addresses[:SERVERS_MAX]) if seconds else ())
