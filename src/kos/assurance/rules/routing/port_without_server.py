"""A client waits for a port that nobody serves."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, rule


@rule(
    "port-without-server",
    Severity.HIGH,
    "A port is used that no app serves",
    looks_at="every client's port",
    why=(
        "Each request for it fails, so the client never does its work; and an app that is added later could "
        "take the place of the missing server unnoticed."
    ),
    sources=iec("CR 7.6", "CR 7.7"),
    fix="let an app serve it with serve_protocol, or take the client's grant away with disconnect_protocol",
)
def check(facts: Facts) -> Iterator[Fault]:
    for port, clients in facts.clients.items():
        if facts.declared(port) and port not in facts.servers:
            for app, access in clients:
                yield Fault(
                    f"{app.name} uses {port.name} on {port.msg_server}, which no app serves",
                    app,
                    access.where,
                )
