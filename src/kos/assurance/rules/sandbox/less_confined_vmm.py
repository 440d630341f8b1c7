"""The host side of a guest is weaker than an ordinary app."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "less-confined-vmm",
    Severity.HIGH,
    "A microVM's host side is less confined than an ordinary app",
    looks_at="processes and descriptors of each app that runs a guest against the widest ordinary app's",
    why="A guest runs code that nobody reviewed. Its device models are the wall, and they should be the best "
    "confined programs on the device.",
    sources=(*etsi("5.6-7", "5.6-8"), *iec("CCSC 3", "CR 5.1")),
    fix="confine it as an app: own uid, filter, no capabilities, read-only root",
    depth=Depth.RUNNING,
)
def check(facts: Facts) -> Iterator[Fault]:
    running = facts.running.apps
    monitors = [app.name for app in facts.apps.values() if service_of(app) == "vmm" and app.name in running]
    ordinary = [
        running[app.name] for app in facts.apps.values() if not service_of(app) and app.name in running
    ]
    for name in monitors:
        monitor = running[name]
        for other in ordinary:
            if len(monitor.writable) > len(other.writable) and monitor.uid == other.uid:
                yield Fault(
                    f"{name} shares its uid {monitor.uid} with an ordinary app and can write more", name
                )
                break
        calls = set(monitor.allowed or ()) - {"ioctl"}
        widest = max((set(other.allowed or ()) for other in ordinary), key=len, default=calls)
        if calls and widest and len(calls) > len(widest):
            yield Fault(
                f"{name} may make {len(calls)} system calls, the widest ordinary app {len(widest)}", name
            )
