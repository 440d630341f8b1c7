"""A call that waits for a less urgent app."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, practice, rule


@rule(
    "call-to-lower-priority",
    Severity.MEDIUM,
    "An app waits for a less urgent one",
    looks_at="the priorities on both sides of each blocking connection",
    why=(
        "While it waits, any app between the two priorities runs first: priority inversion, which has stopped"
        " a spacecraft on Mars."
    ),
    sources=(*practice("Priority inversion (Lampson and Redell 1980)"), *iec("CR 7.1")),
    fix="give the server a higher priority than its clients, or let the client only send",
)
def check(facts: Facts) -> Iterator[Fault]:
    for port, client, used, server, _ in facts.connections:
        if used.blocking and client.priority > server.priority:
            yield Fault(
                f"{client.name} (priority {client.priority}) waits for {server.name} "
                f"(priority {server.priority}) over {port.name}",
                client,
                used.where,
            )
