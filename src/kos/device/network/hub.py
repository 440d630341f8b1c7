"""The hub: a namespace that holds the tunnel's interface and one link to each app, and no way anywhere else.

    app's namespace: lo, eth0 ── hub: app0, app1, …, wg0 ── (UDP socket, outside)

An app sees a loopback and one address whose only route is the gateway. Link-layer addresses are pinned
on both sides, so that nobody asks for or learns any; IPv6 is off, because nothing in the tunnel speaks it.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Interface, ip_interface
from pathlib import Path

from kos.device.network import rules
from kos.device.network.plan import AppPlan, NetworkPlan
from kos.network import nft
from kos.network.namespaces import in_namespace, new_network_namespace
from kos.network.rtnl import Rtnl
from kos.network.sysctl import NO_IPV6, ONLY_LOOPBACK_IPV6, set_sysctl

APP_LINK = "eth0"
# The dummy address of RFC 7600: the hub has no address of its own and yet must say who refused a packet.
REFUSER = IPv4Interface("192.0.0.8/32")


def _every_group() -> str:
    """All groups that exist in our user namespace, for ICMP sockets: a ping is harmless, its packets are
    filtered."""
    first, _outside, count = Path("/proc/self/gid_map").read_text().split()[:3]
    return f"{first} {min(int(first) + int(count) - 1, 0x7FFFFFFF)}"


def _refused_ipv6() -> int:
    """How often the kernel found no IPv6 route in this thread's namespace, where it never has one."""
    table = Path("/proc/thread-self/net/snmp6")
    if not table.is_file():  # a kernel without IPv6
        return 0
    for line in table.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == "Ip6OutNoRoutes":
            return int(value)
    return 0


class Hub:
    """The namespaces of a plan, built. The tunnel's interface comes later, from the WireGuard engine.

    Attributes:
        namespace: descriptor of the hub's own.
        apps: descriptor of each app's, by its name.
    """

    def __init__(self, plan: NetworkPlan, network: str = "") -> None:
        """Build it; `network` as in `rules.render`."""
        self.plan = plan
        self.namespace = new_network_namespace()
        self.apps: dict[str, int] = {}
        set_sysctl(self.namespace, {**NO_IPV6, "ipv4/ip_forward": "1"})
        # Rules first: there is no moment in which a packet passes that they would refuse.
        nft.load(rules.render(plan, network), self.namespace)
        self._rtnl = in_namespace(self.namespace, Rtnl)
        self._rtnl.set("lo", up=True)
        self._rtnl.add_address("lo", REFUSER)
        for link, app in rules.linked(plan):
            self.apps[app.name] = self._add_app(link, app)
        for app in plan.apps:
            if not app.address:
                self.apps[app.name] = new_network_namespace()
                loopback = in_namespace(self.apps[app.name], Rtnl)
                loopback.set("lo", up=True)
                loopback.close()

    def _add_app(self, link: str, app: AppPlan) -> int:
        namespace = new_network_namespace()
        # Where packets of the full size vanish on the way, TCP finds out by itself (RFC 4821).
        settings = {"ipv4/tcp_mtu_probing": "1", "ipv4/ping_group_range": _every_group()}
        set_sysctl(namespace, {**ONLY_LOOPBACK_IPV6, **settings})
        self._rtnl.add_veth(link, APP_LINK, namespace, self.plan.mtu)
        rtnl = in_namespace(namespace, Rtnl)
        rtnl.set("lo", up=True)
        for socket, name in ((rtnl, APP_LINK), (self._rtnl, link)):
            socket.set(name, up=True, arp=False)
        address, gateway = app.interface, ip_interface(app.gateway).ip
        rtnl.add_address(APP_LINK, address, prefix_route=False)
        rtnl.add_neighbour(APP_LINK, gateway, self._rtnl.link(link).mac)
        rtnl.add_route("0.0.0.0/0", APP_LINK, via=gateway)
        self._rtnl.add_route(f"{address.ip}/32", link)
        self._rtnl.add_neighbour(link, address.ip, rtnl.link(APP_LINK).mac)
        rtnl.close()
        return namespace

    def connect_tunnel(self) -> None:
        """Route what the tunnel reaches into its interface, which the engine has just put here."""
        for network in self.plan.allowed_ips:
            self._rtnl.add_route(network, rules.TUNNEL)

    def counters(self) -> dict[str, dict[str, tuple[int, int]]]:
        """App → reason → packets and bytes."""
        found = nft.counters(rules.TABLE, self.namespace)
        counters = {}
        for _link, app in rules.linked(self.plan):
            counters[app.name] = {
                reason: (found[name].packets, found[name].bytes)
                for reason in rules.REASONS
                if (name := rules.counter(reason, app.name)) in found
            }
            counters[app.name][rules.IPV6] = (in_namespace(self.apps[app.name], _refused_ipv6), 0)
        return counters

    def close(self) -> None:
        """Let go of everything; what still runs in a namespace keeps it."""
        self._rtnl.close()
        for descriptor in (self.namespace, *self.apps.values()):
            os.close(descriptor)
        self.apps.clear()
