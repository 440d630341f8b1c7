"""An app that stays down."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Fault, Severity, etsi, iec, rule


@rule(
    "no-restart",
    Severity.MEDIUM,
    "An app is not started again when it fails",
    looks_at="the restart policy and limit of every app, except of self_test, which runs once",
    why="One fault, or one attacker who can cause it, switches the app off until somebody comes.",
    sources=(*etsi("5.9-1", "5.9-2"), *iec("CR 7.1", "CR 7.4")),
    fix='restart=Restart("on-failure")',
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        if service_of(app) != "selftest":
            if app.restart.policy == "never":
                yield Fault(f"{app.name} is never started again", app)
            elif app.restart.limit == 0:
                yield Fault(f"{app.name} may be started again 0 times", app)
