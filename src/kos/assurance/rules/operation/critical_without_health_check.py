"""A critical app whose health nobody asks for."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "critical-without-health-check",
    Severity.MEDIUM,
    "A critical app of the user is not checked",
    looks_at=(
        "user's apps that are critical: whether one counts on the server check, or anyone uses their port"
    ),
    why=(
        "An app can hang without ending. The supervisor sees one that ends; one that hangs shows only to "
        "whoever waits for its answers or watches what arrives at the server."
    ),
    sources=(*etsi("5.9-1", "5.10-1"), *iec("CR 6.2", "CR 7.1")),
    fix="let another app use a port of it, or turn server_check on",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if facts.options.server_check:
        return
    for app in facts.apps.values():
        if app.critical and service_of(app) is None:
            served = [port for port, access in app.grants() if access.role == "server"]
            if not any(facts.clients.get(port) for port in served):
                yield Fault(f"{app.name} is critical and nobody would notice if it hung", app)
