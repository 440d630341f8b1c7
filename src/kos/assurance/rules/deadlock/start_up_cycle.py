"""Apps that need each other to start."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, rule


@rule(
    "start-up-cycle",
    Severity.MEDIUM,
    "Apps need each other to be ready first",
    looks_at=(
        "all clients, from each to the server of its port, where no circle of blocking calls is reported"
    ),
    why=(
        "An app is started when the servers of its ports are ready. In a circle there is no first one: the "
        "device breaks it somewhere, and that app starts without what it needs."
    ),
    sources=iec("CR 7.4"),
    fix="turn one of the connections round, or split the app that both need",
)
def check(facts: Facts) -> Iterator[Fault]:
    blocking = {name for cycle in facts.calls.cycles() for name in cycle}
    for cycle in facts.uses.cycles():
        if not blocking.intersection(cycle):
            port = min(facts.uses.out[cycle[0]][cycle[1]])
            where = facts.where_of(cycle[0], port)
            yield Fault(f"{' → '.join(cycle)} each need the next to be ready first", cycle[0], where)
