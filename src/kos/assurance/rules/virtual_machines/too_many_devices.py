"""More devices than a microVM has."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.guests import DISKS_MAX, disks
from kos.assurance.rule import Fault, Severity, iec, rule


@rule(
    "too-many-devices",
    Severity.HIGH,
    "A guest has more disks than a microVM",
    looks_at="the number of disks of every guest; a microVM has at most five",
    why="The guest starts without the disk that did not fit, or not at all.",
    sources=iec("CR 7.6", "CR 7.2"),
    fix="put what belongs together onto one disk",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.service("vmm"):
        count = len(disks(app))
        if count > DISKS_MAX:
            yield Fault(f"{app.name} has {count} disks, a microVM at most {DISKS_MAX}", app)
