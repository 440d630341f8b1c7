"""An app holds an open file that nobody granted."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule

# What an app opens by itself, inside its own sandbox or as memory of its own.
_OWN = ("null", "console", "mailbox", "event", "page", "pipe", "epoll", "timer", "signal", "buffer", "memory")
_OWN_PATHS = (
    "/app/",
    "/tmp/",
    "/data/",
    "/usr/",
    "/lib",
    "/proc/",
    "/dev/null",
    "/dev/urandom",
    "/config.json",
)


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
        connections = {f"control:{server}" for server in app.access} if app else set()
        held = {type(resource).__name__.lower() for resource in app.resources} if app else set()
        for descriptor in running.descriptors:
            kind = descriptor.kind
            known = kind in _OWN or kind in connections or kind.removeprefix("resource:") in held
            if not known and not kind.startswith(_OWN_PATHS):
                yield Fault(f"{name} holds descriptor {descriptor.fd}, {kind}", name)
