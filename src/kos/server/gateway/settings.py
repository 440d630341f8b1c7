"""What a gateway is: its address, its port, and what devices may reach through it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from kos.abi.errors import KosError
from kos.abi.session import GATEWAY_PORT

LISTEN_PORT = GATEWAY_PORT
ADDRESS = IPv4Interface("10.90.0.1/16")
SERVICES_MAX = 32
MTU_MIN, MTU_MAX, MTU_DEFAULT = 576, 9000, 1420
DNS_PORT = 53
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


@dataclass(frozen=True)
class Service:
    """A TCP port of the gateway and where its connections really go."""

    name: str
    port: int
    host: str
    target_port: int


@dataclass(frozen=True)
class GatewaySettings:
    """All that a gateway is told.

    Attributes:
        address: the gateway's own, with the mask of the network of all devices.
        listen_port: UDP port for WireGuard; 0 is any.
        services: what devices may reach, and nothing else.
        names: host names that the gateway's resolver knows; each must be inside the tunnel's network.
        mtu: bytes of a packet in the tunnel.
    """

    address: IPv4Interface = ADDRESS
    listen_port: int = LISTEN_PORT
    services: Sequence[Service] = ()
    names: Mapping[str, IPv4Address] | None = None
    mtu: int = MTU_DEFAULT

    def __post_init__(self) -> None:
        if self.address.network.prefixlen > 30:
            raise KosError(f"the gateway's network {self.address.network} has no room for devices")
        if not 0 <= self.listen_port <= 65535:
            raise KosError(f"expected a port from 0 to 65535, found {self.listen_port}")
        if not MTU_MIN <= self.mtu <= MTU_MAX:
            raise KosError(f"expected an MTU from {MTU_MIN} to {MTU_MAX}, found {self.mtu}")
        if len(self.services) > SERVICES_MAX:
            raise KosError(f"{len(self.services)} services, at most {SERVICES_MAX}")
        ports = [service.port for service in self.services]
        if len(set(ports)) != len(ports):
            raise KosError("two services have the same port", hint="each port leads to one place")
        for name in self.names or {}:
            if not _NAME.fullmatch(name) or len(name) > 253:
                raise KosError(f"{name!r} is no host name")


def _port(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 65535):
        raise KosError(f"{what}: expected a port from 1 to 65535, found {text!r}")
    return int(text)


def parse_service(text: str) -> Service:
    """A service from `NAME=PORT` or `NAME=PORT:HOST:TARGET_PORT`, as the command line has it.

    Raises:
        KosError: anything else.
    """
    name, separator, rest = text.partition("=")
    words = rest.split(":")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name) or len(words) not in (1, 3):
        raise KosError(
            f"expected NAME=PORT or NAME=PORT:HOST:PORT, found {text!r}", hint="mqtt=4182:127.0.0.1:4182"
        )
    port = _port(words[0], name)
    if len(words) == 1:
        return Service(name, port, "127.0.0.1", port)
    return Service(name, port, words[1] or "127.0.0.1", _port(words[2], name))
