"""Old holes can be installed again."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "no-downgrade-protection",
    Severity.HIGH,
    "An older release may replace a newer one",
    looks_at="the option downgrade_protection",
    why="An old release is signed and has known holes: whoever can offer it can open them again.",
    sources=(*etsi("5.3-9", "5.3-10"), *iec("EDR 3.10", "CR 3.4")),
    fix="set_kos_options(downgrade_protection=True)",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if not facts.options.downgrade_protection:
        yield Fault("the option downgrade_protection is off")
