"""A call between equally urgent apps."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, practice, rule


@rule(
    "call-to-equal-priority",
    Severity.LOW,
    "An app waits for one that is no more urgent",
    looks_at="the priorities on both sides of each blocking connection",
    why=(
        "The answer shares the processor with everything of that priority, so how long a call takes depends "
        "on apps that have nothing to do with it."
    ),
    sources=(*practice("Servers run above their clients, as in microkernel systems"), *iec("CR 7.1")),
    fix="give the server a higher priority than its clients",
)
def check(facts: Facts) -> Iterator[Fault]:
    for port, client, used, server, _ in facts.connections:
        if used.blocking and client.priority == server.priority:
            yield Fault(
                f"{client.name} and {server.name} have the same priority {client.priority}, "
                f"and the first waits for the second over {port.name}",
                client,
                used.where,
            )
