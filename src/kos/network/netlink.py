"""The wire format of netlink (RFC 3549) and one blocking request: enough for links, addresses and WireGuard.

Written here and not taken from pyroute2 because a device pays for it at every start: importing that costs
about 150 ms on a developer's machine and seconds on a small board; this costs about one.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from kos.abi.errors import KosError

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_ROOT_MATCH = 0x300  # NLM_F_DUMP
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
ANSWER_MAX = 1 << 18  # bytes of one datagram; the kernel's dumps use at most 32 KiB


class NetlinkError(KosError):
    """The kernel refused a request.

    Attributes:
        errno: its reason.
    """

    def __init__(self, what: str, errno: int) -> None:
        hint = "this needs root, or a user namespace that owns the network" if errno == 1 else None
        super().__init__(f"the kernel refused to {what}: {os.strerror(errno)}", hint=hint)
        self.errno = errno


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """One attribute, padded: bytes as they are, a number as 32 bits, text with its closing zero."""
    if isinstance(value, int):
        value = struct.pack("=I", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + b"\0" * (-size % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(inner))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each attribute in `data` as type (without its flags) and value.

    Raises:
        KosError: a length that does not fit.
    """
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size or offset + size > len(data):
            raise KosError(f"netlink attribute of {size} bytes does not fit in the {len(data) - offset} left")
        yield kind & NLA_TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + size]
        offset += (size + 3) & ~3


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each message of a datagram as type, sequence number and payload."""
    offset = 0
    while offset + HEADER.size <= len(data):
        size, kind, _flags, sequence, _port = HEADER.unpack_from(data, offset)
        if size < HEADER.size or offset + size > len(data):
            raise KosError(f"netlink message of {size} bytes does not fit in the {len(data) - offset} left")
        yield kind, sequence, data[offset + HEADER.size : offset + size]
        offset += (size + 3) & ~3


class Netlink:
    """A netlink socket of the network namespace in which it was made, whichever one its user is in."""

    def __init__(self, family: int, groups: int = 0) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self.socket.bind((0, groups))
        self._sequence = 0

    def close(self) -> None:
        self.socket.close()

    def request(self, what: str, kind: int, payload: bytes, flags: int = 0) -> list[bytes]:
        """Send one request and return the payloads of its answers.

        Args:
            what: what it does, for the error: "add the link wg0".

        Raises:
            NetlinkError: the kernel said no.
        """
        self._sequence += 1
        flags |= NLM_F_REQUEST | NLM_F_ACK
        header = HEADER.pack(HEADER.size + len(payload), kind, flags, self._sequence, 0)
        self.socket.send(header + payload)
        answers: list[bytes] = []
        while True:
            for answer, sequence, body in messages(self.socket.recv(ANSWER_MAX)):
                if sequence != self._sequence:
                    continue
                if answer == NLMSG_DONE:
                    return answers
                if answer == NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", body)
                    if code:
                        raise NetlinkError(what, -code)
                    return answers
                answers.append(body)
