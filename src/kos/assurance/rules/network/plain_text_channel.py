"""A remote channel without encryption."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Interface, ip_address

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule

_PLAIN = re.compile(
    r"\b(http|ws|mqtt|amqp|ftp|telnet|ldap|redis|coap|tftp|nats)://(\[[0-9a-f:]+\]|[^\s/:?#@\]]+)", re.I
)
_LOCAL_NAMES = ("localhost",)


@rule(
    "plain-text-channel",
    Severity.HIGH,
    "A remote address is used without encryption",
    looks_at=(
        "addresses in configuration, environment and arguments of every app, except those inside the tunnel"
    ),
    why="Beyond the tunnel's end, whoever is on the path reads and changes what is sent.",
    sources=(*etsi("5.5-1", "5.5-6"), *iec("CR 4.1", "CR 3.1")),
    fix="use the encrypted form (https, wss, mqtts, tls), or an address inside the tunnel's network",
)
def check(facts: Facts) -> Iterator[Fault]:
    networks = []
    for entry in facts.options.tunnel_ips.values():
        try:
            networks.append(IPv4Interface(f"{entry.address}/{entry.mask}").network)
        except ValueError:
            continue  # the rule tunnel-address says so
    for app, path, _, text in facts.texts:
        for match in _PLAIN.finditer(text):
            host = match[2].strip("[]")
            if host not in _LOCAL_NAMES and not _inside(host, networks):
                yield Fault(f"{app.name} uses {match[0]} in {path}", app)


def _inside(host: str, networks: list) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or any(address in network for network in networks)
