"""A release that takes unsigned manifests."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Fault, Severity, etsi, iec, rule


@rule(
    "signing-disabled",
    Severity.CRITICAL,
    "A release accepts unsigned manifests",
    looks_at="the option disable_signing",
    why="Anyone who can reach the device's update path can run whatever they like on it.",
    sources=(*etsi("5.3-9", "5.3-10", "5.7-1"), *iec("EDR 3.10", "CR 3.4")),
    fix="set_kos_options(disable_signing=False) and sign with kos-tool manifest.sign",
    profiles=RELEASE_ONLY,
)
def check(facts: Facts) -> Iterator[Fault]:
    if facts.options.disable_signing:
        yield Fault("the option disable_signing is on")
