"""An app holds a bus where addresses would do."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.manifest import I2CBus


@rule(
    "whole-bus",
    Severity.MEDIUM,
    "An app holds a whole bus",
    looks_at="i2c resources of apps that are not the I2C server",
    why=(
        "On a bus, every device is one address away: power management and memory of the board among them. The"
        " I2C server lets an app use only the addresses that it needs."
    ),
    sources=(*etsi("5.6-7"), *iec("CCSC 3", "CR 7.7")),
    fix="put an I2CServer for the bus and list the app's addresses in its devices",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        if service_of(app) != "i2c":
            for resource in app.resources_of(I2CBus):
                yield Fault(f"{app.name} holds the whole bus {resource.bus}", app)
