"""An app can write where it should only read."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule
from kos.manifest import Keys, Storage

_ALWAYS = ("/tmp", "/dev/shm", "/proc", "/dev")


@rule(
    "writable-path",
    Severity.HIGH,
    "An app can write outside its own data",
    looks_at="writable mounts of each running app",
    why=(
        "What an app can write, it can change for the next start: its own code, its configuration, somebody "
        "else's."
    ),
    sources=(*etsi("5.7-1"), *iec("CR 3.4", "EDR 3.2")),
    fix="mount it read-only; data that must stay belongs into a storage resource",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, running in sorted(facts.running.apps.items()):
        app = facts.apps.get(name)
        own = [*_ALWAYS]
        if app and app.resources_of(Storage):
            own.append("/data")
        if app and app.resources_of(Keys):
            own.append("/keys")
        for path in running.writable:
            if not any(path == allowed or path.startswith(allowed + "/") for allowed in own):
                yield Fault(f"{name} can write to {path}", name)
