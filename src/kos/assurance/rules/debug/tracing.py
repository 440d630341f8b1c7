"""Tracing, in a release."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "tracing",
    Severity.MEDIUM,
    "A release traces messages",
    looks_at="the option tracing",
    why=(
        "Even without payloads, a trace shows who speaks to whom and when; and it costs time on every "
        "message."
    ),
    sources=(*etsi("5.6-5"), *iec("CR 7.7")),
    fix="set_kos_options(tracing=False)",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if facts.options.tracing:
        yield Fault("the option tracing is on")
