"""The kernel is started differently."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "kernel-command-line",
    Severity.HIGH,
    "A release changes how the kernel is started",
    looks_at="the option kernel_command_line",
    why=(
        "One word there switches off defences (mitigations=off, nokaslr), starts something else than init, or"
        " opens a console."
    ),
    sources=(*etsi("5.7-1", "5.6-4"), *iec("EDR 3.14", "CR 7.6")),
    fix="leave kernel_command_line unset; a board's needs belong into its platform file",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if facts.options.kernel_command_line:
        yield Fault(f"the kernel is started with {facts.options.kernel_command_line!r} added")
