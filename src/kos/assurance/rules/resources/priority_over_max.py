"""An app that starts above its own ceiling."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, rule


@rule(
    "priority-over-max",
    Severity.MEDIUM,
    "An app's priority is above its max_priority",
    looks_at="priority and max_priority of each app",
    why="One of the two is a mistake; whichever the device takes, somebody reviewed the other.",
    sources=iec("CR 7.2", "CR 7.6"),
    fix="raise max_priority or lower priority",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        if app.max_priority is not None and app.priority > app.max_priority:
            yield Fault(
                f"{app.name} has priority {app.priority} over a max_priority of {app.max_priority}", app
            )
