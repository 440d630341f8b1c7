"""Two apps claim one port."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, nist, rule


@rule(
    "two-servers",
    Severity.CRITICAL,
    "Two apps may serve one port",
    looks_at="the server role of every port",
    why=(
        "Whichever binds first gets the clients' messages: a restart is enough to hand a trusted port to "
        "another app."
    ),
    sources=(*iec("CR 2.1"), *nist("Logical Access to Interfaces")),
    fix="leave the server role with one app and take it from the others",
)
def check(facts: Facts) -> Iterator[Fault]:
    for port, servers in facts.servers.items():
        names = sorted(app.name for app, _ in servers)
        for app, access in servers:
            if app.name != names[0]:
                yield Fault(
                    f"{app.name} may serve {port.name} on {port.msg_server}, as {names[0]} may",
                    app,
                    access.where,
                )
