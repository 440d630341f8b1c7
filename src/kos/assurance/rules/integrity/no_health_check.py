"""An update that counts as good without a test."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "no-health-check",
    Severity.HIGH,
    "A new generation counts as good without a test",
    looks_at="the option health_check and the app self_test",
    why=(
        "What boots is not yet what works. Without a test at start-up, a device commits itself to a system "
        "that is broken, and the way back is gone."
    ),
    sources=(*etsi("5.9-1"), *iec("CR 3.3", "CR 7.4")),
    fix="leave health_check on and self_test in: base = Poukai",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if not facts.options.health_check:
        yield Fault("the option health_check is off")
    elif not facts.service("selftest"):
        yield Fault("there is no self_test that could say whether the system works")
