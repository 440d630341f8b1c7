"""A debugger, in a release."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, opened_by
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "debugger",
    Severity.CRITICAL,
    "A release allows a debugger",
    looks_at="the option debugger, and which apps have debug=True",
    why="A debugger reads and writes an app's memory, its keys in use included.",
    sources=(*etsi("5.6-1", "5.6-5"), *iec("CR 7.7", "CR 4.1")),
    fix="set_kos_options(debugger=False)",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if facts.options.debugger:
        open_to = [app.name for app in facts.apps.values() if opened_by(app) == "debugger"]
        yield Fault(f"the option debugger is on, for {', '.join(sorted(open_to)) or 'no app yet'}")
