"""The physical interfaces, for the ethernet service: who they are, their sockets, their addresses.

On a device that service decides about them. On the `host` platform they are the developer's own: there
nothing is changed and only names are looked up. Part of the keeper.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.abi.records import asdict
from kos.network import rdnss
from kos.network.namespaces import own_network_namespace
from kos.network.rtnl import RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK, Rtnl
from kos.network.sysctl import set_sysctl

ETH_P_IP = 0x0800
DHCP_CLIENT_PORT = 68
ADDRESSES_MAX = 16  # of one interface
MTU_MIN, MTU_MAX = 576, 9000  # bytes
RESOLVERS_MAX = 3  # as resolv.conf(5) says
RESOLV_CONF = Path("/etc/resolv.conf")
SO_ATTACH_FILTER = 26
# Classic BPF on an IPv4 packet: UDP, not a fragment, to port 68. Made by tcpdump -dd, checked by a test.
_DHCP_FILTER = (
    (0x30, 0, 0, 9),
    (0x15, 0, 6, 17),
    (0x28, 0, 0, 6),
    (0x45, 4, 0, 0x1FFF),
    (0xB1, 0, 0, 0),
    (0x48, 0, 0, 2),
    (0x15, 0, 1, DHCP_CLIENT_PORT),
    (0x06, 0, 0, 0x40000),
    (0x06, 0, 0, 0),
)


def host_resolvers(path: Path = RESOLV_CONF) -> list[str]:
    """The name servers of this machine, as resolv.conf(5) lists them."""
    found = []
    if path.is_file():
        for line in path.read_text(errors="replace").splitlines():
            words = line.split()
            if len(words) >= 2 and words[0] == "nameserver":
                try:
                    found.append(str(ip_address(words[1].partition("%")[0])))
                except ValueError:
                    continue
    return found[:RESOLVERS_MAX]


def name_socket() -> socket.socket:
    """A UDP socket for both families; for IPv4 alone where the kernel has no IPv6."""
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
    try:
        made = socket.socket(socket.AF_INET6, kind)
    except OSError:
        return socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return made


def dhcp_socket(index: int) -> socket.socket:
    """A packet socket on one interface that hears only DHCP answers; it may send any IPv4 packet there."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
    program = b"".join(struct.pack("=HBBI", *step) for step in _DHCP_FILTER)
    with_pointer = _BpfProgram(program)
    made.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, with_pointer.packed)
    name = socket.if_indextoname(index)
    made.bind((name, ETH_P_IP))
    return made


class _BpfProgram:
    """`struct sock_fprog`: the number of steps and a pointer to them."""

    def __init__(self, program: bytes) -> None:
        import ctypes

        self._memory = ctypes.create_string_buffer(program, len(program))
        self.packed = struct.pack("HL", len(program) // 8, ctypes.addressof(self._memory))


class Links:
    """The interfaces of the namespace in which this process runs."""

    def __init__(self, *, owned: bool) -> None:
        """`owned`: whether they are ours to change, as on a device."""
        self.owned = owned
        self._rtnl = Rtnl()
        addresses = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
        self.events = Rtnl(RTMGRP_LINK | addresses | rdnss.RTMGRP_ND_USEROPT)
        self._announced: dict[int, tuple[IPv6Address, ...]] = {}  # index → name servers of its router

    def read_events(self) -> None:
        """Take what has happened off the queue. Only what routers announce is of interest by itself."""
        with contextlib.suppress(OSError):  # some were lost: whoever asks sees what is
            for each in rdnss.parse(self.events.socket.recv(1 << 16)):
                self._announced[each.index] = each.servers

    def describe(self) -> dict[str, Any]:
        links = [link for link in self._rtnl.links() if not link.loopback and link.kind in ("", "veth")]
        default, default6 = (self._rtnl.default_route(each) for each in (socket.AF_INET, socket.AF_INET6))
        return {
            "owned": self.owned,
            "links": [
                {**asdict(link), "addresses": [str(a) for a in self._rtnl.addresses(link.name)]}
                for link in links
            ],
            "default": {"interface": default[0], "gateway": str(default[1] or "")} if default else None,
            "gateway6": str(default6[1] or "") if default6 else "",
            "resolvers": [] if self.owned else host_resolvers(),
            "announced": {
                link.name: [str(address) for address in self._announced.get(link.index, ())] for link in links
            },
        }

    def open(self, interface: str) -> list[socket.socket]:
        """A socket for DHCP on it, and a UDP socket for names; only the latter where it is not ours."""
        names = name_socket()
        if not self.owned:
            return [names]
        return [names, dhcp_socket(self._rtnl.link(interface).index)]

    def configure(self, request: dict[str, Any]) -> None:
        """Make an interface have exactly these addresses and this default route.

        Raises:
            KosError: it is not ours, or an address is none.
        """
        if not self.owned:
            raise KosError("the network interfaces are the host's, and not ours to change")
        name = str(request.get("interface"))
        wanted, mtu = _interfaces(request.get("addresses", [])), request.get("mtu")
        if mtu is not None and (type(mtu) is not int or not MTU_MIN <= mtu <= MTU_MAX):
            raise KosError(f"mtu: expected {MTU_MIN} to {MTU_MAX}, found {mtu!r}")
        automatic = request.get("auto6") is True
        self._follow_routers(name, automatic)
        self._rtnl.set(name, up=bool(request.get("up", True)), mtu=mtu)
        if not request.get("up", True):
            return
        for address in self._rtnl.addresses(name):
            kept = address.ip.is_link_local or (automatic and address.version == 6)
            if address not in wanted and not kept:
                self._rtnl.delete_address(name, address)
        for address in wanted:
            self._rtnl.add_address(name, address)
        for family, default in (("gateway", "0.0.0.0/0"), ("gateway6", "::/0")):
            if gateway := request.get(family):
                self._rtnl.add_route(default, name, via=ip_address(gateway))

    @staticmethod
    def _follow_routers(name: str, automatic: bool) -> None:
        """Let the kernel take IPv6 addresses and routes that routers announce, or not."""
        value = str(int(automatic))
        here = own_network_namespace()
        try:
            set_sysctl(here, {f"ipv6/conf/{name}/{each}": value for each in ("accept_ra", "autoconf")})
        finally:
            os.close(here)


def _interfaces(texts: Any) -> list[IPv4Interface | IPv6Interface]:
    if not isinstance(texts, list) or len(texts) > ADDRESSES_MAX:
        raise KosError(f"addresses: expected a list of at most {ADDRESSES_MAX}")
    try:
        return [ip_interface(text) for text in texts]
    except ValueError as error:
        raise KosError(f"addresses: {error}") from None
