"""A waiver whose time is over."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, practice, rule


@rule(
    "expired-waiver",
    Severity.MEDIUM,
    "A waiver has expired",
    looks_at="the last day of each waiver",
    why="Somebody accepted a risk until that day, not beyond it.",
    sources=(*practice("Exceptions have an owner and an end"), *iec("CR 7.6")),
    fix="fix what it covered, or have its owner decide again",
)
def check(facts: Facts) -> Iterator[Fault]:
    for waiver in facts.waivers:
        if waiver.expired(facts.today):
            about = f" of {waiver.app}" if waiver.app else ""
            yield Fault(
                f"the waiver for {waiver.rule}{about} by {waiver.owner} expired on {waiver.expires}",
                waiver.app,
            )
