"""A core port is served by something that is not its core service."""

from collections.abc import Iterator

from kos.abi import services
from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Fault, Severity, etsi, iec, rule

EXPECTED = {
    services.PORT_LOG: "log",
    services.PORT_RNG: "rng",
    services.PORT_KEY_STORE: "keystore",
    services.PORT_ETHERNET: "ethernet",
    services.PORT_INTERNET: "tunnel",
    services.PORT_TRACE: "trace",
    services.PORT_TRACE_ADMIN: "trace",
}


@rule(
    "unexpected-provider",
    Severity.HIGH,
    "A core port is served by something else than its core service",
    looks_at="the image of the app that serves each core port",
    why=(
        "Clients trust a core port: what serves the random numbers, the keys or the tunnel decides whether "
        "their cryptography is worth anything."
    ),
    sources=(*etsi("5.5-1", "5.7-1"), *iec("CR 1.2", "CR 4.3")),
    fix="let the core service serve it, or give the replacement a port name of its own",
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, service in EXPECTED.items():
        for app, access in facts.servers_of(name):
            if service_of(app) != service:
                yield Fault(
                    f"{app.name} serves {name}, which kos.services.{service} should", app, access.where
                )
