"""Security events that reach no log."""

from collections.abc import Iterator

from kos.abi import services
from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "events-not-logged",
    Severity.MEDIUM,
    "An app that sees security events cannot log them",
    looks_at=(
        "apps that reach the network or the key store, and whether they hold kos_log_protocol; not guests, "
        "whose output is on the console"
    ),
    why="What such an app sees first, a refused log-in or a bad signature, is seen by nobody else.",
    sources=(*etsi("5.10-1"), *iec("CR 2.8", "CR 6.1")),
    fix="connect_protocol(app, Poukai.log)",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    logging = {app.name for app, _ in facts.clients_of(services.PORT_LOG)}
    seen: set[str] = set()
    for app, access in [*facts.networked, *facts.clients_of(services.PORT_KEY_STORE)]:
        # What a guest says is on the structured console, which is its only way to say anything.
        if app.name not in logging and app.name not in seen and service_of(app) != "vmm":
            seen.add(app.name)
            yield Fault(
                f"{app.name} sees security events and holds no {services.PORT_LOG}", app, access.where
            )
