"""One app holds both the network and the keys."""

from collections.abc import Iterator

from kos.abi import services
from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Fault, Severity, etsi, iec, rule

# Core services that sign as the device, and only what they made themselves.
_MEDIATORS = ("tunnel", "admin", "mqtt_relay")


@rule(
    "network-app-reaches-keys",
    Severity.CRITICAL,
    "A network-facing app holds the key store's port",
    looks_at="user's apps that are clients of both kos_internet_protocol and kos_key_store_protocol",
    why=(
        "Whoever takes over the app from outside can sign and decrypt as the device. A mediator in between "
        "decides what is signed."
    ),
    sources=(*etsi("5.4-1", "5.6-7"), *iec("CR 1.5", "CR 5.1")),
    fix="put a small app without network in between, which signs only what it understands",
)
def check(facts: Facts) -> Iterator[Fault]:
    networked = {app.name for app, _ in facts.networked}
    for app, access in facts.clients_of(services.PORT_KEY_STORE):
        if app.name in networked and service_of(app) not in _MEDIATORS:
            yield Fault(
                f"{app.name} reaches the network and holds {services.PORT_KEY_STORE}", app, access.where
            )
