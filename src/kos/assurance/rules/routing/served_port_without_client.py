"""An app serves a port that nobody uses."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Fault, Severity, etsi, iec, rule


@rule(
    "served-port-without-client",
    Severity.LOW,
    "An app serves a port that nobody uses",
    looks_at="ports that a user's app serves; what the base layer offers is there to be used later",
    why="An interface that nobody needs is one more to attack, to test and to keep up.",
    sources=(*etsi("5.6-5"), *iec("CR 7.7")),
    fix="remove the port and its server role, or connect the client that was meant",
)
def check(facts: Facts) -> Iterator[Fault]:
    for port, servers in facts.servers.items():
        if port not in facts.clients and facts.declared(port):
            for app, access in servers:
                if service_of(app) is None:
                    yield Fault(
                        f"{app.name} serves {port.name} on {port.msg_server}, which no app uses",
                        app,
                        access.where,
                    )
