"""Links, addresses, routes and neighbours of one network namespace, through rtnetlink."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_network

from kos.abi.errors import KosError
from kos.abi.records import dataclass
from kos.network import netlink
from kos.network.netlink import Netlink, attribute, attributes, nested

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH = 28
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER = 1, 3, 4, 10
IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_STATS64, IFLA_NET_NS_FD, IFLA_CARRIER = 16, 18, 23, 28, 33
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD, IFA_F_TENTATIVE, IFA_F_NOPREFIXROUTE = 0x02, 0x40, 0x200
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC = 1, 4, 5, 7
NDA_DST, NDA_LLADDR = 1, 2
NUD_PERMANENT = 0x80
IFF_UP, IFF_LOOPBACK, IFF_NOARP = 0x1, 0x8, 0x80
RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTN_UNICAST = 254, 4, 0, 253, 1
RTNH_F_ONLINK = 4

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, mask of flags
_ADDRESS = struct.Struct("=BBBBi")  # family, prefix, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst, src, tos, table, protocol, scope, type, flags
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
NAME_MAX = 15  # bytes of an interface's name (IFNAMSIZ - 1)


@dataclass(frozen=True)
class Link:
    """One network interface."""

    index: int
    name: str
    kind: str  # "veth", "tun", … ; "" for hardware
    mac: str
    mtu: int
    up: bool  # someone wants it up
    carrier: bool  # it can carry traffic
    loopback: bool
    rx_bytes: int
    tx_bytes: int


def parse_link(payload: bytes) -> Link:
    """A link from the payload of RTM_NEWLINK."""
    _family, _type, index, flags, _mask = _LINK.unpack_from(payload)
    name, kind, mac, mtu, carrier, rx, tx = "", "", "", 0, False, 0, 0
    for what, value in attributes(payload[_LINK.size :]):
        if what == IFLA_IFNAME:
            name = value.rstrip(b"\0").decode()
        elif what == IFLA_ADDRESS:
            mac = value.hex(":")
        elif what == IFLA_MTU:
            (mtu,) = struct.unpack("=I", value)
        elif what == IFLA_CARRIER:
            carrier = value[0] == 1
        elif what == IFLA_LINKINFO:
            kind = next((v.rstrip(b"\0").decode() for k, v in attributes(value) if k == IFLA_INFO_KIND), "")
        elif what == IFLA_STATS64:
            rx, tx = struct.unpack_from("=16xQQ", value)
    return Link(
        index, name, kind, mac, mtu, bool(flags & IFF_UP), carrier, bool(flags & IFF_LOOPBACK), rx, tx
    )


def _family(address: Address | Interface) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


class Rtnl(Netlink):
    """Requests about the namespace in which this was made."""

    def __init__(self, groups: int = 0) -> None:
        super().__init__(socket.NETLINK_ROUTE, groups)

    # --- links --------------------------------------------------------------------------------------------
    def links(self) -> list[Link]:
        answers = self.request(
            "list the links", RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0), netlink.NLM_F_ROOT_MATCH
        )
        return [parse_link(answer) for answer in answers]

    def link(self, name: str) -> Link:
        """The link of that name.

        Raises:
            KosError: there is none.
        """
        found = next((link for link in self.links() if link.name == name), None)
        if found is None:
            raise KosError(f"there is no network interface {name!r}")
        return found

    def _new_link(self, what: str, payload: bytes, create: bool = False) -> None:
        flags = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL if create else 0
        self.request(what, RTM_NEWLINK, payload, flags)

    def add(self, name: str, kind: str) -> None:
        """Add a link of a simple kind: dummy, bridge, wireguard."""
        info = nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, kind))
        payload = _LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name) + info
        self._new_link(f"add the {kind} link {name}", payload, create=True)

    def add_veth(self, name: str, peer: str, peer_namespace: int, mtu: int = 1500) -> None:
        """Add a pair: `name` here, `peer` in the namespace of that descriptor."""
        other = (
            _LINK.pack(0, 0, 0, 0, 0)
            + attribute(IFLA_IFNAME, peer)
            + attribute(IFLA_MTU, mtu)
            + attribute(IFLA_NET_NS_FD, peer_namespace)
        )
        data = nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, other))
        info = nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, "veth"), data)
        head = _LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name) + attribute(IFLA_MTU, mtu)
        self._new_link(f"add the pair {name} and {peer}", head + info, create=True)

    def delete(self, name: str) -> None:
        payload = _LINK.pack(0, 0, self.link(name).index, 0, 0)
        self.request(f"delete the link {name}", RTM_DELLINK, payload)

    def set(
        self, name: str, *, up: bool | None = None, arp: bool | None = None, mtu: int | None = None
    ) -> None:
        """Change what is not None."""
        flags = mask = 0
        if up is not None:
            mask |= IFF_UP
            flags |= IFF_UP if up else 0
        if arp is not None:
            mask |= IFF_NOARP
            flags |= 0 if arp else IFF_NOARP
        payload = _LINK.pack(0, 0, self.link(name).index, flags, mask)
        if mtu is not None:
            payload += attribute(IFLA_MTU, mtu)
        self._new_link(f"change the link {name}", payload)

    def move(self, name: str, namespace: int, new_name: str) -> None:
        """Move a link into the namespace of that descriptor and give it a name there."""
        payload = _LINK.pack(0, 0, self.link(name).index, 0, 0)
        payload += attribute(IFLA_NET_NS_FD, namespace) + attribute(IFLA_IFNAME, new_name)
        self._new_link(f"move the link {name}", payload)

    def set_master(self, name: str, master: str) -> None:
        """Make the link a port of a bridge."""
        payload = _LINK.pack(0, 0, self.link(name).index, 0, 0)
        payload += attribute(IFLA_MASTER, self.link(master).index)
        self._new_link(f"put {name} into {master}", payload)

    # --- addresses, routes, neighbours --------------------------------------------------------------------
    def add_address(self, name: str, address: Interface, *, prefix_route: bool = True) -> None:
        """Add or replace an address; without `prefix_route` nothing is on-link because of it."""
        flags = IFA_F_NODAD | (0 if prefix_route else IFA_F_NOPREFIXROUTE)
        payload = _ADDRESS.pack(_family(address), address.network.prefixlen, 0, 0, self.link(name).index)
        payload += attribute(IFA_LOCAL, address.ip.packed) + attribute(IFA_ADDRESS, address.ip.packed)
        payload += attribute(IFA_FLAGS, flags)
        self.request(
            f"give {name} the address {address}",
            RTM_NEWADDR,
            payload,
            netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE,
        )

    def delete_address(self, name: str, address: Interface) -> None:
        payload = _ADDRESS.pack(_family(address), address.network.prefixlen, 0, 0, self.link(name).index)
        payload += attribute(IFA_LOCAL, address.ip.packed)
        self.request(f"take the address {address} from {name}", RTM_DELADDR, payload)

    def addresses(self, name: str) -> list[Interface]:
        """Those that can be used: not an IPv6 address that may yet turn out to be somebody else's."""
        index = self.link(name).index
        answers = self.request(
            "list the addresses", RTM_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0), netlink.NLM_F_ROOT_MATCH
        )
        found: list[Interface] = []
        for answer in answers:
            family, prefix, flags, _scope, owner = _ADDRESS.unpack_from(answer)
            values = dict(attributes(answer[_ADDRESS.size :]))
            raw = values.get(IFA_LOCAL, values.get(IFA_ADDRESS, b""))
            if flags & IFA_F_TENTATIVE:
                continue
            if owner == index and family in (socket.AF_INET, socket.AF_INET6):
                found.append(
                    IPv4Interface((raw, prefix)) if family == socket.AF_INET else IPv6Interface((raw, prefix))
                )
        return found

    def add_route(self, destination: str, name: str, *, via: Address | None = None) -> None:
        """Add or replace a route; `via` is taken to be on that link, whatever the addresses say."""
        self.request(
            f"route {destination} over {name}",
            RTM_NEWROUTE,
            self._route(destination, name, via),
            netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE,
        )

    def delete_route(self, destination: str, name: str, *, via: Address | None = None) -> None:
        self.request(
            f"stop routing {destination} over {name}", RTM_DELROUTE, self._route(destination, name, via)
        )

    def _route(self, destination: str, name: str, via: Address | None) -> bytes:
        network = ip_network(destination)
        family = socket.AF_INET if network.version == 4 else socket.AF_INET6
        scope, flags = (RT_SCOPE_LINK, 0) if via is None else (RT_SCOPE_UNIVERSE, RTNH_F_ONLINK)
        if network.version == 6:
            scope = RT_SCOPE_UNIVERSE
        payload = _ROUTE.pack(
            family, network.prefixlen, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, flags
        )
        if network.prefixlen:
            payload += attribute(RTA_DST, network.network_address.packed)
        payload += attribute(RTA_OIF, self.link(name).index)
        return payload + (attribute(RTA_GATEWAY, via.packed) if via is not None else b"")

    def default_route(self, family: int = socket.AF_INET) -> tuple[str, Address | None] | None:
        """Name of the link and gateway of the first default route of a family; None when there is none."""
        payload = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        names = {link.index: link.name for link in self.links()}
        for answer in self.request("list the routes", RTM_GETROUTE, payload, netlink.NLM_F_ROOT_MATCH):
            _family, prefix, *_rest = _ROUTE.unpack_from(answer)
            values = dict(attributes(answer[_ROUTE.size :]))
            if prefix == 0 and RTA_OIF in values:
                (index,) = struct.unpack("=I", values[RTA_OIF])
                if names.get(index) == "lo":  # IPv6 has one there that says that there is none
                    continue
                via = ip_address(values[RTA_GATEWAY]) if RTA_GATEWAY in values else None
                return names.get(index, ""), via
        return None

    def add_neighbour(self, name: str, address: Address, mac: str) -> None:
        """Pin the link-layer address of a neighbour, so that nobody is asked for it."""
        payload = _NEIGHBOUR.pack(_family(address), self.link(name).index, NUD_PERMANENT, 0, 0)
        payload += attribute(NDA_DST, address.packed) + attribute(
            NDA_LLADDR, bytes.fromhex(mac.replace(":", ""))
        )
        self.request(
            f"pin the neighbour {address} of {name}",
            RTM_NEWNEIGH,
            payload,
            netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE,
        )
