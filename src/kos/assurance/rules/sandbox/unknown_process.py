"""Something runs that the manifest does not know."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "unknown-process",
    Severity.CRITICAL,
    "An app runs that is not in the manifest",
    looks_at="the names of running apps",
    why=(
        "Nothing that the manifest does not grant exists: what runs all the same was put there by somebody "
        "else."
    ),
    sources=(*etsi("5.7-2", "5.6-5"), *iec("CR 3.4", "EDR 3.2")),
    fix="isolate the device and find out where it came from",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name in sorted(facts.running.apps):
        if name not in facts.apps:
            yield Fault(f"{name} runs and is not in the manifest")
