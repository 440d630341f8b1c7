"""A critical app that an ordinary one can hold up."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, rule


@rule(
    "critical-waits-on-ordinary",
    Severity.HIGH,
    "A critical app waits for one that is not critical",
    looks_at="blocking connections from critical apps",
    why=(
        "The system depends on the ordinary app without saying so: when that one hangs or is restarted, the "
        "critical one hangs with it, and the system is judged healthy or broken by an app that nobody "
        "declared essential."
    ),
    sources=iec("CR 7.1"),
    fix="make the server critical too, or let the critical app only send",
)
def check(facts: Facts) -> Iterator[Fault]:
    for port, client, used, server, _ in facts.connections:
        if client.critical and used.blocking and not server.critical:
            yield Fault(
                f"{client.name} is critical and waits for {server.name}, which is not, over {port.name}",
                client,
                used.where,
            )
