"""A guest on a platform without virtualisation."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, rule
from kos.manifest import ManifestError, PlatformSpec


@rule(
    "hyp-off",
    Severity.HIGH,
    "A microVM is in a system whose platform cannot run it",
    looks_at="apps that run a guest against hyp= of the platform",
    why="The guest never starts, or starts in an emulator that was never confined or measured for it.",
    sources=iec("CR 7.6"),
    fix="build for a platform with hyp=on, such as imx8mm-evk,hyp=on",
)
def check(facts: Facts) -> Iterator[Fault]:
    try:
        hyp = PlatformSpec.parse(facts.manifest.platform).hyp
    except ManifestError:
        hyp = False
    for app in facts.service("vmm"):
        if not hyp:
            yield Fault(f"{app.name} runs a guest, and {facts.manifest.platform} has hyp=off", app)
