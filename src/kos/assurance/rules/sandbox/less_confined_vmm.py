"""The host side of a guest is weaker than an ordinary app."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule

# What running a guest takes: to start the monitor, its memory, the monitor's own filter, /dev/kvm.
_NEEDED = frozenset({"execve", "ioctl", "memfd_create", "prctl", "seccomp"})
_NETWORK = frozenset({"accept", "accept4", "bind", "connect", "listen", "socket"})


@rule(
    "less-confined-vmm",
    Severity.HIGH,
    "A microVM's host side is less confined than an ordinary app",
    looks_at=(
        "uid, writable places and system calls of each app that runs a guest, against those of all other apps"
    ),
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
    others = {call for name, app in running.items() if name not in monitors for call in app.allowed or ()}
    networked = {app.name for app, _ in facts.networked}
    for name in monitors:
        monitor = running[name]
        for other in ordinary:
            if len(monitor.writable) > len(other.writable) and monitor.uid == other.uid:
                yield Fault(
                    f"{name} shares its uid {monitor.uid} with an ordinary app and can write more", name
                )
                break
        expected = _NEEDED | (_NETWORK if name in networked else frozenset())
        beyond = sorted(set(monitor.allowed or ()) - expected - others)
        if others and beyond:
            yield Fault(f"{name} may call {', '.join(beyond)}, which no other app may", name)
