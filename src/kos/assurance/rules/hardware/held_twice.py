"""Two apps hold the same piece of hardware."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.manifest import App, Gpio, I2CBus, Interrupt, Serial


def _pieces(app: App) -> Iterator[str]:
    for resource in app.resources:
        match resource:
            case Interrupt(number):
                yield f"interrupt {number}"
            case Gpio(chip, lines):
                yield from (f"line {line} of {chip}" for line in lines)
            case Serial(device):
                yield f"serial device {device}"
            case I2CBus(bus):
                yield f"bus {bus}"


@rule(
    "held-twice",
    Severity.HIGH,
    "An interrupt, line, serial device or bus is granted twice",
    looks_at="the interrupt, gpio, serial and i2c resources of all apps",
    why="Each holder assumes that nobody else touches it: interrupts are lost, outputs fight, transfers mix.",
    sources=(*etsi("5.6-7"), *iec("CR 2.1")),
    fix="give it to one app and let the other use it through a port",
)
def check(facts: Facts) -> Iterator[Fault]:
    holder: dict[str, str] = {}
    for app in facts.apps.values():
        for piece in _pieces(app):
            if piece in holder:
                yield Fault(f"{app.name} holds {piece}, as {holder[piece]} does", app)
            holder.setdefault(piece, app.name)
