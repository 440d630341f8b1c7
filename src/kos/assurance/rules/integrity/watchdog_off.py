"""A device that hangs stays hung."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "watchdog-off",
    Severity.HIGH,
    "The watchdog is off",
    looks_at="the option watchdog",
    why="A device on a roof that hangs is gone until somebody climbs there.",
    sources=(*etsi("5.9-1", "5.9-2"), *iec("CR 7.1", "CR 7.4")),
    fix="set_kos_options(watchdog=30)",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if facts.options.watchdog == 0:
        yield Fault("the option watchdog is 0")
