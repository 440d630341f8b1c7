"""An ordinary app holds what belongs to the platform."""

from collections.abc import Iterator

from kos.assurance.facts import Facts, service_of
from kos.assurance.rule import Fault, Severity, etsi, iec, rule
from kos.manifest import Keys, Kvm, Supervisor

# Resource → the core services that need it, and what it gives.
_NEEDED = {
    Keys: (("keystore",), "the key partition"),
    Supervisor: (("selftest", "admin", "trace"), "the supervisor's socket"),
    Kvm: (("vmm",), "hardware virtualisation"),
}


@rule(
    "platform-resource",
    Severity.CRITICAL,
    "An ordinary app holds a resource of the platform",
    looks_at=(
        "keys, supervisor and kvm resources of apps that are not the service that needs them, and who may "
        "pass on shells and debuggers"
    ),
    why=(
        "With the key partition an app is the device; with the supervisor's socket it stops and starts "
        "others; with virtualisation it reaches a large part of the kernel."
    ),
    sources=(*etsi("5.4-1", "5.6-7"), *iec("CR 1.5", "CR 2.1", "CCSC 3")),
    fix="use the core service through its port instead",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.apps.values():
        for kind, (services, what) in _NEEDED.items():
            if app.resources_of(kind) and service_of(app) not in services:
                yield Fault(f"{app.name} holds {what}", app)
        for resource in app.resources_of(Supervisor):
            if resource.streams and service_of(app) != "admin":
                yield Fault(f"{app.name} may pass on shells, consoles and debuggers of other apps", app)
