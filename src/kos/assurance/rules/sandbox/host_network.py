"""An ordinary app holds the physical network."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.manifest import Network

# The relay listens in the networks of the apps that publish through it.
_NEED_IT = ("ethernet", "tunnel", "mqtt_relay")


@rule(
    "host-network",
    Severity.CRITICAL,
    "An app other than the core services of the network holds the network interface",
    looks_at="network resources",
    why=(
        "It bypasses the tunnel: it can speak to anyone on the local network, listen, and read what others "
        "send."
    ),
    sources=(*etsi("5.6-1", "5.5-1"), *iec("CR 5.1", "CR 7.7")),
    fix="connect the app to kos_internet_protocol and give it an address in tunnel_ips",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        if app.resources_of(Network) and service_of(app) not in _NEED_IT:
            yield Fault(f"{app.name} holds the network interface", app)
