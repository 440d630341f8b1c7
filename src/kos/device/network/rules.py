"""The rules of the hub, the namespace between the apps and the tunnel, as nftables text. Pure.

Everything is refused unless a rule below says otherwise, and everything refused is counted for the app that
tried it. Counters are named REASON_APP; `REASONS` says what each reason means.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import islice

from kos.abi.errors import KosError
from kos.device.network.plan import AppPlan, NetworkPlan

TABLE = "kos"
TUNNEL = "wg0"  # name of the tunnel's interface in the hub
REASONS = {
    "sent": "packets that went into the tunnel",
    "received": "packets that came out of the tunnel",
    "spoofed": "refused: not from the app's own address",
    "neighbour": "refused: to another app or to the hub itself",
    "dns": "refused: to a resolver other than the tunnel's",
    "destination": "refused: not on the app's allow list, or not behind the tunnel",
    "unasked": "refused: from the tunnel, and no answer to anything the app sent",
}
IPV6 = "ipv6"  # counted by the kernel and not by a rule: refused, because there is no IPv6 in the tunnel
_REJECT = "reject with icmpx type admin-prohibited"


def linked(plan: NetworkPlan) -> list[tuple[str, AppPlan]]:
    """The apps that have an address, each with the name of its link in the hub."""
    return [(f"app{index}", app) for index, app in enumerate(plan.apps) if app.address]


def counter(reason: str, app: str) -> str:
    return f"{reason}_{app}"


def outer_addresses(plan: NetworkPlan, network: str) -> dict[str, IPv4Address]:
    """App → the address under which the gateway knows it, out of the device's own network in the tunnel.

    All devices of a system have the same manifest and so the same addresses inside; these tell them apart.

    Raises:
        KosError: the network has too few addresses.
    """
    apps = [app.name for _link, app in linked(plan)]
    hosts = list(islice(IPv4Network(network).hosts(), len(apps)))
    if len(hosts) < len(apps):
        raise KosError(f"the device's network {network} has no room for {len(apps)} apps")
    return dict(zip(apps, hosts, strict=True))


def render(plan: NetworkPlan, network: str = "") -> str:
    """The whole ruleset; `network` is the device's own, "" where the manifest's addresses are."""
    outer = outer_addresses(plan, network) if network else {}
    lines = [f"table inet {TABLE} {{"]
    for _link, app in linked(plan):
        lines += [f"  counter {counter(reason, app.name)} {{ }}" for reason in REASONS]
    lines.append("  counter refused_other { }")
    for _link, app in linked(plan):
        lines += [f"  chain source_{app.name} {{", *_source(app), "  }"]
        lines += [f"  chain from_{app.name} {{", *_from_app(plan, app), "  }"]
        lines += [f"  chain to_{app.name} {{", *_to_app(app), "  }"]
        lines += [f"  chain hub_{app.name} {{", *_to_hub(app), "  }"]
    # Before any routing decision, so that what the kernel would drop without a word is counted too.
    lines += ["  chain prerouting {", "    type filter hook prerouting priority raw; policy accept;"]
    lines += [f'    iifname "{link}" jump source_{app.name}' for link, app in linked(plan)]
    lines += ["  }", "  chain forward {", "    type filter hook forward priority filter; policy drop;"]
    lines += [f'    iifname "{link}" jump from_{app.name}' for link, app in linked(plan)]
    lines += [f'    oifname "{link}" jump to_{app.name}' for link, app in linked(plan)]
    lines += ["    counter name refused_other drop", "  }"]
    lines += ["  chain input {", "    type filter hook input priority filter; policy drop;"]
    lines += [f'    iifname "{link}" jump hub_{app.name}' for link, app in linked(plan)]
    lines += ["    counter name refused_other drop", "  }"]
    if outer:
        lines += ["  chain postrouting {", "    type nat hook postrouting priority srcnat; policy accept;"]
        for _link, app in linked(plan):
            lines += [f'    oifname "{TUNNEL}" ip saddr {app.interface.ip} snat ip to {outer[app.name]}']
        lines += ["  }"]
    lines += ["}", ""]
    return "\n".join(lines)


def _source(app: AppPlan) -> Iterator[str]:
    refused = f"counter name {counter('spoofed', app.name)} drop"
    yield f"    meta nfproto != ipv4 {refused}"
    yield f"    ip saddr != {app.interface.ip} {refused}"


def _from_app(plan: NetworkPlan, app: AppPlan) -> Iterator[str]:
    yield f'    oifname != "{TUNNEL}" counter name {counter("neighbour", app.name)} {_REJECT}'
    if plan.dns:
        for protocol in ("udp", "tcp"):
            yield (
                f"    {protocol} dport 53 ip daddr != {plan.dns} "
                f"counter name {counter('dns', app.name)} {_REJECT}"
            )
    sent = f"counter name {counter('sent', app.name)} accept"
    if app.allow is None:
        yield f"    {sent}"
        return
    if plan.dns:
        yield f"    ip daddr {plan.dns} udp dport 53 {sent}"
        yield f"    ip daddr {plan.dns} tcp dport 53 {sent}"
    for protocol, network, port in app.allow:
        match = {"any": "", "icmp": " ip protocol icmp"}.get(protocol, f" {protocol} dport {port}")
        if protocol in ("tcp", "udp") and port == 0:
            match = f" meta l4proto {protocol}"
        yield f"    ip daddr {network}{match} {sent}"
    yield f"    counter name {counter('destination', app.name)} {_REJECT}"


def _to_app(app: AppPlan) -> Iterator[str]:
    received = f"counter name {counter('received', app.name)} accept"
    yield f'    iifname "{TUNNEL}" ip daddr {app.interface.ip} ct state established,related {received}'
    yield f"    counter name {counter('unasked', app.name)} drop"


def _to_hub(app: AppPlan) -> Iterator[str]:
    yield f"    counter name {counter('neighbour', app.name)} {_REJECT}"
