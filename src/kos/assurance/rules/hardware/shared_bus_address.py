"""Two apps may drive the same device on a bus."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.assurance.settings import items, table


@rule(
    "shared-bus-address",
    Severity.MEDIUM,
    "Two apps may use one address on a bus",
    looks_at="the devices of each I2C server",
    why=(
        "A device has one state. What one app sets up, the other undoes; and a reading that one trusts can be"
        " the other's doing."
    ),
    sources=(*etsi("5.6-7"), *iec("CR 2.1")),
    fix="give the address to one app, and let that one offer the readings on a port",
)
def check(facts: Facts) -> Iterator[Fault]:
    for server in facts.service("i2c"):
        holder: dict[object, str] = {}
        for app, addresses in sorted(table(server.config.get("devices")).items()):
            for address in items(addresses):
                shown = f"{address:#04x}" if isinstance(address, int) else repr(address)
                if address in holder:
                    yield Fault(f"{app} may use {shown} on {server.name}, as {holder[address]} may", app)
                holder.setdefault(address, app)
