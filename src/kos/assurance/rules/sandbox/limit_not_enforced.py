"""A limit that is only on paper."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, iec, nist, rule


@rule(
    "limit-not-enforced",
    Severity.MEDIUM,
    "A limit of the manifest is not enforced",
    looks_at="the limits of each running app against the manifest's",
    why="The manifest's limit keeps a fault inside one app only if the kernel knows of it.",
    sources=(*iec("CR 7.2"), *nist("Device Security: Secure Resource Usage")),
    fix="run on a system with control groups version 2, or restart the app under the supervisor",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, running in sorted(facts.running.apps.items()):
        app = facts.apps.get(name)
        for kind in ("memory", "processes", "descriptors") if app else ():
            said, enforced = getattr(app, kind), getattr(running.limits, kind)
            if said is not None and (enforced is None or enforced > said):
                yield Fault(f"{name} may have {enforced or 'any'} {kind}, the manifest says {said}", name)
