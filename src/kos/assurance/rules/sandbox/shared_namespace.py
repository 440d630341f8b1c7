"""An app lives in a namespace of the host."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule

# Not the user namespace: started by root, an app has a uid of its own instead.
_OWN = ("ipc", "mnt", "net", "pid", "uts")


@rule(
    "shared-namespace",
    Severity.CRITICAL,
    "An app shares a namespace with the host",
    looks_at="the namespaces of each running app against the host's",
    why=(
        "In the host's namespace an app sees the host's processes, files or network, whatever the manifest "
        "says."
    ),
    sources=(*etsi("5.6-7"), *iec("CR 5.1", "CR 2.1")),
    fix="restart the app under the supervisor; if it is still so, the launcher was changed",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    host = facts.running.namespaces
    for name, app in facts.running.sandboxes:
        for kind in _OWN:
            if kind in host and app.namespaces.get(kind) == host[kind]:
                yield Fault(f"{name} shares the host's {kind} namespace", name)
