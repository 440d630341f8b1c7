"""Two apps hold the same device memory."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.manifest import Mmio


@rule(
    "overlapping-frames",
    Severity.CRITICAL,
    "Device memory is granted twice",
    looks_at="the mmio resources of all apps",
    why=(
        "Whoever can write a device's registers can make it do what the other holder never asked for; "
        "isolation between the two is gone."
    ),
    sources=(*etsi("5.6-8"), *iec("CR 2.1")),
    fix="give the device to one app and let the other use it through a port",
)
def check(facts: Facts) -> Iterator[Fault]:
    frames = sorted(
        (frame.base, frame.base + frame.size, app.name)
        for app in facts.apps.values()
        for frame in app.resources_of(Mmio)
    )
    highest = (0, "")
    for base, end, name in frames:
        if base < highest[0]:
            yield Fault(
                f"{name} holds device memory from {base:#x}, which overlaps that of {highest[1]}", name
            )
        highest = max(highest, (end, name))
