"""Apps that can wait for each other for ever."""

from collections.abc import Iterator
from itertools import pairwise

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, practice, rule


@rule(
    "blocking-cycle",
    Severity.HIGH,
    "Apps can wait for each other in a circle",
    looks_at="clients that may block, from each to the server of its port",
    why=(
        "A call waits until it is answered. Around a circle, each can wait for the next: all of them stop, "
        "and no watchdog sees a fault because every one is alive."
    ),
    sources=(*practice("Deadlock conditions (Coffman 1971)"), *iec("CR 7.1")),
    fix=(
        "let one of them only send: AccessControl.client(blocking=False); or let the server call back through"
        " a token"
    ),
)
def check(facts: Facts) -> Iterator[Fault]:
    for cycle in facts.calls.cycles():
        ports = [min(facts.calls.out[a][b]) for a, b in pairwise(cycle)]
        where = facts.where_of(cycle[0], ports[0])
        yield Fault(f"{' → '.join(cycle)} can wait in a circle, over {', '.join(ports)}", cycle[0], where)
