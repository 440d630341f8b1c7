"""Both sides of a port speak different versions."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, rule


@rule(
    "protocol-mismatch",
    Severity.HIGH,
    "Client and server of a port speak different versions",
    looks_at="the version that each side of a port states",
    why=(
        "Bytes are read as something else than they were written as: errors at best, and input that nobody "
        "checked for at worst."
    ),
    sources=iec("CR 3.5", "CR 3.1"),
    fix="bring both sides to one version",
)
def check(facts: Facts) -> Iterator[Fault]:
    for port, client, used, server, served in facts.connections:
        if None not in (served.version, used.version) and served.version != used.version:
            yield Fault(
                f"{client.name} speaks version {used.version} of {port.name}, "
                f"{server.name} serves version {served.version}",
                client,
                used.where,
            )
