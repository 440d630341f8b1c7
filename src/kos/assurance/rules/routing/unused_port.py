"""A declared port that nobody has to do with."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule


@rule(
    "unused-port",
    Severity.LOW,
    "A port is declared that nobody serves or uses",
    looks_at="declared ports without any grant",
    why="It is left over, or a grant was forgotten; either way the manifest says something that is not so.",
    sources=(*etsi("5.6-1"), *iec("CR 7.7")),
    fix="remove its put_port, or grant it",
)
def check(facts: Facts) -> Iterator[Fault]:
    for port in facts.ports:
        if port not in facts.servers and port not in facts.clients:
            yield Fault(f"port {port.name} on {port.msg_server} is declared and no app serves or uses it")
