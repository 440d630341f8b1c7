"""A grant that cannot be of any use."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.assurance.settings import items, table


@rule(
    "unused-grant",
    Severity.LOW,
    "An app holds a grant that it cannot use",
    looks_at="clients of a bus without an address on it, and of the tunnel that may send to nobody",
    why="Authority without a use is only of use to an attacker.",
    sources=(*etsi("5.6-7"), *iec("CR 7.7")),
    fix="take the grant away with disconnect_protocol, or give the app what it lacks",
)
def check(facts: Facts) -> Iterator[Fault]:
    for server in facts.service("i2c"):
        listed = table(server.config.get("devices"))
        for port, access in server.grants():
            for client, used in facts.clients.get(port, ()) if access.role == "server" else ():
                if not listed.get(client.name):
                    yield Fault(
                        f"{client.name} uses {port.name} and {server.name} gives it no address on the bus",
                        client,
                        used.where,
                    )
    for tunnel in facts.service("tunnel"):
        allowed = table(tunnel.config.get("allow"))
        for client, used in facts.networked:
            if client.name in allowed and not items(allowed[client.name]):
                yield Fault(f"{client.name} has a network and may send to nobody", client, used.where)
