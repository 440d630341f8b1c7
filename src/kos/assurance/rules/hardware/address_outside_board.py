"""A grant of memory that is no device's."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.manifest import Mmio


@rule(
    "address-outside-board",
    Severity.CRITICAL,
    "An app is granted memory that is no device's on this board",
    looks_at="mmio resources against the board's map of devices",
    why=(
        "What is not a device's registers is RAM, firmware or nothing: the first two are other people's "
        "memory."
    ),
    sources=(*etsi("5.6-8"), *iec("CR 2.1", "CCSC 3")),
    fix="take the address from the board's reference manual, and check the platform",
    needs=("devices",),
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        for frame in app.resources_of(Mmio):
            end = frame.base + frame.size
            if not any(region.base <= frame.base and end <= region.end for region in facts.board.devices):
                yield Fault(
                    f"{app.name} is granted {frame.base:#x} to {end - 1:#x}, which is no device's on "
                    f"{facts.board.name}",
                    app,
                )
