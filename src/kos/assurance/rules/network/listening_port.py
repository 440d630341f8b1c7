"""A socket listens that no configuration mentions."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule
from kos.assurance.settings import items


@rule(
    "listening-port",
    Severity.HIGH,
    "An app listens on a port that is not declared",
    looks_at="listening sockets of each running app against the list `listen` in its configuration",
    why="An open port is an interface. One that nobody declared was not reviewed and is not watched.",
    sources=(*etsi("5.6-1", "5.6-5"), *iec("CR 7.7", "CR 7.6")),
    fix="close it, or list it as `listen` in the app's config",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, running in sorted(facts.running.apps.items()):
        app = facts.apps.get(name)
        declared = items(app.config.get("listen")) if app else ()
        for socket in running.listening:
            if socket not in declared:
                yield Fault(f"{name} listens on {socket}", name)
