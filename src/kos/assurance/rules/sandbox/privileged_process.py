"""An app runs as root or with capabilities."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "privileged-process",
    Severity.CRITICAL,
    "An app runs as root, with capabilities, or may gain privileges",
    looks_at="uid, capability sets and no_new_privs of each running app",
    why="Every other wall of the sandbox can be taken down from inside with enough privileges.",
    sources=(*etsi("5.6-7"), *iec("CCSC 3", "CR 2.1")),
    fix="stop the device and find out who started the app like this; the supervisor never does",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, app in facts.running.sandboxes:
        if app.uid == 0:
            yield Fault(f"{name} runs as root", name)
        if app.capabilities:
            yield Fault(f"{name} holds capabilities ({app.capabilities:#x})", name)
        if not app.no_new_privs:
            yield Fault(f"{name} may gain privileges by starting a program (no_new_privs is off)", name)
