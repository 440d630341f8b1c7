"""What a WireGuard interface is told and what it answers, independent of who implements it. Pure.

Keys travel as raw 32 bytes. A private key exists here only for the moment in which it is handed over: it is
not part of any status, and `repr` never shows it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from kos.abi.errors import KosError
from kos.abi.hints import Protocol
from kos.abi.records import dataclass, field

KEY_SIZE = 32  # bytes of an X25519 key
KEEPALIVE_MAX = 65535  # seconds
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Endpoint:
    """Where a peer is reached: an address (never a name) and a UDP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """`192.0.2.1:51820` or `[2001:db8::1]:51820`.

    Raises:
        KosError: no address or no port.
    """
    host, _, port = text.rpartition(":")
    try:
        address = ip_address(host.strip("[]"))
        if not 0 < int(port) <= 65535:
            raise ValueError
    except ValueError:
        raise KosError(f"expected ADDRESS:PORT, found {text!r}") from None
    return Endpoint(str(address), int(port))


@dataclass(frozen=True)
class Peer:
    """A peer as we want it. None leaves a setting as it is."""

    public_key: bytes
    endpoint: Endpoint | None = None
    allowed_ips: tuple[Network, ...] | None = None
    keepalive: int | None = None  # seconds; 0 turns it off


@dataclass(frozen=True)
class PeerStatus:
    """A peer as it is."""

    public_key: bytes
    endpoint: Endpoint | None
    allowed_ips: tuple[Network, ...]
    keepalive: int
    last_handshake: float  # seconds since 1970; 0.0 is never
    rx_bytes: int
    tx_bytes: int


@dataclass(frozen=True)
class Change:
    """What to change in one step. None leaves a setting as it is."""

    private_key: bytes | None = field(default=None, repr=False)
    listen_port: int | None = None
    replace_peers: bool = False
    peers: tuple[Peer, ...] = ()
    remove: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Status:
    """The interface as it is."""

    public_key: bytes | None  # None when it has no private key yet
    listen_port: int
    peers: tuple[PeerStatus, ...]

    def peer(self, public_key: bytes) -> PeerStatus | None:
        return next((peer for peer in self.peers if peer.public_key == public_key), None)


class Control(Protocol):
    """One WireGuard interface, in the kernel or in a process."""

    def apply(self, change: Change) -> None: ...

    def status(self) -> Status: ...


def encode_key(key: bytes) -> str:
    return base64.b64encode(key).decode()


def decode_key(text: str, what: str = "key") -> bytes:
    """A key from its usual form, 44 characters of base64.

    Raises:
        KosError: anything else.
    """
    try:
        key = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeError):
        key = b""
    if len(key) != KEY_SIZE:
        raise KosError(f"the {what} must be {KEY_SIZE} bytes in base64 (44 characters)")
    return key


def batches(peers: Iterable[Peer], size: int) -> Iterable[tuple[Peer, ...]]:
    """`peers` in tuples of at most `size`."""
    batch: list[Peer] = []
    for peer in peers:
        batch.append(peer)
        if len(batch) == size:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)
