"""A filter in the root that no policy compiles to."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "unknown-filter",
    Severity.CRITICAL,
    "The root holds a system-call filter that no policy compiles to",
    looks_at="the compiled filters in the root file system against those that the SDK's policies give",
    why=(
        "Every app is started under one of these programs. A filter of another origin decides, unreviewed, "
        "what the apps under it may ask of the kernel."
    ),
    sources=(*etsi("5.6-6", "5.7-1"), *iec("CR 3.4", "CR 7.7")),
    fix="build the root again with this SDK; if the filter is there again, the SDK was changed",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    expected = facts.image.expected_filters
    for name, digest in sorted(facts.image.filters.items()) if expected is not None else ():
        if digest not in expected:
            yield Fault(f"filter {name[:12]} of the root is {digest[:12]}, which no policy compiles to")
