"""An app that may take everything."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, nist, rule


@rule(
    "no-limit",
    Severity.HIGH,
    "An app has no limit on memory, processes or descriptors",
    looks_at="the limits of each app",
    why=(
        "A leak or an attacker in that app takes what all the others need; the limit is what keeps a fault "
        "inside."
    ),
    sources=(*iec("CR 7.1", "CR 7.2"), *nist("Device Security: Secure Resource Usage")),
    fix="set the limit; kos-tool status shows what the app uses",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        missing = [name for name in ("memory", "processes", "descriptors") if getattr(app, name) is None]
        if missing:
            yield Fault(f"{app.name} has no limit on {' and '.join(missing)}", app)
