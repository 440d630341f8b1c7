"""A bad update that nobody can undo."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "no-fall-back",
    Severity.HIGH,
    "A device that does not boot stays down",
    looks_at="the options persistent_boot and boot_attempts, on platforms that store their system",
    why=(
        "Without a boot counter and a generation to fall back to, one bad update ends in a visit to every "
        "device."
    ),
    sources=(*etsi("5.9-1", "5.3-2"), *iec("EDR 3.10", "CR 7.4")),
    fix="set_kos_options(persistent_boot=True, boot_attempts=3)",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if facts.on_host:
        return
    if not facts.options.persistent_boot:
        yield Fault("the option persistent_boot is off, so the device keeps no generation to fall back to")
    elif facts.options.boot_attempts == 0:
        yield Fault("the option boot_attempts is 0, so a generation that does not boot is tried for ever")
