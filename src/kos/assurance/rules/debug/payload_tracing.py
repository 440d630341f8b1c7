"""Messages are recorded, in a release."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "payload-tracing",
    Severity.HIGH,
    "A release records what messages say",
    looks_at="the option unsafe_trace_payloads",
    why=(
        "Whoever reads the trace reads every message: readings, commands, and secrets that apps pass to each "
        "other."
    ),
    sources=(*etsi("5.6-5", "5.8-1"), *iec("CR 4.1", "CR 7.7")),
    fix="set_kos_options(unsafe_trace_payloads=False)",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if facts.options.unsafe_trace_payloads:
        yield Fault("the option unsafe_trace_payloads is on")
