"""An ordinary app commands a device that writes memory by itself."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.manifest import Dma


@rule(
    "dma-for-ordinary-app",
    Severity.CRITICAL,
    "An ordinary app holds a device that can write all memory",
    looks_at="dma resources of apps that are not core services",
    why=(
        "Such a device reads and writes physical memory past every process boundary: whoever commands it owns"
        " the device."
    ),
    sources=(*etsi("5.6-8"), *iec("CR 2.1", "CR 3.4")),
    fix=(
        "leave the device to a driver in the kernel or to a core service, and let the app use that through a "
        "port"
    ),
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        if service_of(app) is None and app.resources_of(Dma):
            yield Fault(f"{app.name} holds a device that reads and writes memory by itself", app)
