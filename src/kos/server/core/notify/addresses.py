"""Which addresses a webhook may reach: the public ones, and what the operator has named.

A name is looked up once, and the connection goes to the very address that was judged: a name that answers
differently the second time gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

from kos.abi.errors import KosError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NETWORKS_MAX = 64  # that an operator may name
# IPv6 networks whose addresses stand for IPv4 ones, and how many bits follow the IPv4 address in them.
CARRIERS = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)


class Denied(KosError):
    """The address is not one that a webhook may reach."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """The networks of a comma-separated list. Raises KosError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(words) > NETWORKS_MAX:
        raise KosError(f"at most {NETWORKS_MAX} networks, found {len(words)}")
    try:
        return tuple(ipaddress.ip_network(word) for word in words)
    except ValueError as error:
        raise KosError(f"not a network: {error}", hint="such as 10.1.0.0/16,192.168.7.9/32") from error


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        for network, shift in CARRIERS:
            if address in network:
                return ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def named(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether the operator has named a network that this address is in."""
    address = plain(address)
    return any(address.version == network.version and address in network for network in allowed)


def check(address: Address, allowed: Sequence[Network]) -> None:
    """Raises Denied for an address of the server's own surroundings."""
    judged = plain(address)
    public = judged.is_global and not judged.is_multicast and not judged.is_reserved
    if not public and not named(judged, allowed):
        raise Denied(
            "the address is not a public one",
            hint="the server's operator can allow its network with KOS_SERVER_NOTIFY_PRIVATE",
        )


async def resolve(host: str, port: int, allowed: Sequence[Network]) -> Address:
    """The first address of a name, if a webhook may reach all of them.

    Raises:
        Denied: one of them is in the server's surroundings: such a name means no good.
        OSError: there is no such name.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # A scope ("fe80::1%eth0") says which link; whatever it says, the address is link-local.
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    for address in addresses:
        check(address, allowed)
    return addresses[0]
