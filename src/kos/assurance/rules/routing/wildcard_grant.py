"""An app that holds everything."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule

_FEW = 4  # ports; on a smaller message server, holding all of them is nothing special


@rule(
    "wildcard-grant",
    Severity.HIGH,
    "An app is connected to every port of a message server",
    looks_at="apps that hold each port of a message server with more than four",
    why=(
        "That is a wildcard spelled out: a port that is added later is granted by habit, and the app is as "
        "good as the whole system to an attacker."
    ),
    sources=(*etsi("5.6-7"), *iec("CR 2.1", "CCSC 3")),
    fix="grant the ports that the app calls, and split it where that is all of them",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        for server, held in app.access.items():
            declared = facts.manifest.msg_servers.get(server)
            if declared and len(declared.ports) > _FEW and set(declared.ports) <= set(held):
                yield Fault(f"{app.name} is connected to all {len(declared.ports)} ports of {server}", app)
