"""An app holds an open file that nobody granted."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule
from kos.manifest import Network, Supervisor

# What an app opens by itself; a path is one inside its own sandbox.
_OWN = (
    "null",
    "console",
    "mailbox",
    "event",
    "page",
    "pipe",
    "epoll",
    "timer",
    "signal",
    "memory",
    "own socket",
)
# Which resource is an open connection from the start.
_PASSED = {"supervisor": Supervisor, "network": Network}


@rule(
    "extra-descriptor",
    Severity.HIGH,
    "An app holds an open file or connection that the manifest does not grant",
    looks_at="the open descriptors of each running app",
    why=(
        "An inherited descriptor is authority that no grant shows: a file of the host, another app's "
        "connection, a socket to the outside."
    ),
    sources=(*etsi("5.6-7"), *iec("CR 2.1", "CCSC 3")),
    fix="restart the app under the supervisor; it passes on a closed list",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, running in sorted(facts.running.apps.items()):
        app = facts.apps.get(name)
        granted = {f"control:{server}" for server in app.access} if app else set()
        if app:
            granted |= {kind for kind, resource in _PASSED.items() if app.resources_of(resource)}
            if app.debug and facts.options.remote_shell:
                granted.add("debugging channel")
        for descriptor in running.descriptors:
            kind = descriptor.kind
            if kind not in _OWN and kind not in granted and not kind.startswith("/"):
                yield Fault(f"{name} holds descriptor {descriptor.fd}, {kind}", name)
