"""An app that is restarted as fast as it fails."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, practice, rule


@rule(
    "restart-without-back-off",
    Severity.MEDIUM,
    "An app is started again without a pause",
    looks_at="backoff_initial and backoff_max of every app that is restarted",
    why=(
        "An app that fails at once is then restarted at once: it takes the processor from the others, wears "
        "the storage with logs, and gives an attacker thousands of tries."
    ),
    sources=(*practice("Exponential back-off between attempts"), *iec("CR 7.1", "CR 7.2")),
    fix="leave backoff_initial at 0.1 and backoff_max at 10 seconds",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        restart = app.restart
        if restart.policy != "never" and (restart.backoff_initial == 0 or restart.backoff_max == 0):
            yield Fault(f"{app.name} is started again without a pause", app)
        elif restart.policy != "never" and restart.backoff_max < restart.backoff_initial:
            yield Fault(f"{app.name} has a longest pause below its first", app)
