"""A sensitive port is granted to an app that is not on its list."""

from collections.abc import Iterator

from kos.abi import services
from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Fault, Severity, etsi, iec, rule

# Port → the core services that need it, and what holding it means.
ALLOWED = {
    services.PORT_KEY_STORE: (("tunnel", "admin", "selftest", "mqtt_relay"), "use the device's private keys"),
    services.PORT_ETHERNET: (("tunnel",), "send and receive on the network outside the tunnel"),
    services.PORT_TRACE_ADMIN: (("admin",), "read what other apps say to each other"),
}


@rule(
    "sensitive-port",
    Severity.HIGH,
    "A sensitive port is granted to an ordinary app",
    looks_at="clients of the key store, of ethernet and of trace administration",
    why=(
        "Those ports give power over the whole device. Only the core apps that need them should hold them, so"
        " that a fault in an ordinary app stays one app's fault."
    ),
    sources=(*etsi("5.6-7", "5.4-1"), *iec("CR 2.1", "CCSC 3")),
    fix="let a small app of its own mediate, and waive the finding for that one; or take the grant away",
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, (allowed, power) in ALLOWED.items():
        for app, access in facts.clients_of(name):
            if service_of(app) not in allowed:
                yield Fault(f"{app.name} is granted {name}, with which it can {power}", app, access.where)
