"""Two apps may drive the same device on a bus."""

from collections.abc import Iterator, Mapping

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule


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
        devices = server.config.get("devices", {})
        holder: dict[object, str] = {}
        for app, addresses in sorted(devices.items()) if isinstance(devices, Mapping) else ():
            for address in addresses if isinstance(addresses, list | tuple) else ():
                shown = f"{address:#04x}" if isinstance(address, int) else repr(address)
                if address in holder:
                    yield Fault(f"{app} may use {shown} on {server.name}, as {holder[address]} may", app)
                holder.setdefault(address, app)
