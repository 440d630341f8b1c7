"""A guest that does not fit into its own limit."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.guests import guest_memory
from kos.assurance.rule import Fault, Severity, iec, nist, rule

_MIB = 1 << 20


@rule(
    "guest-over-limit",
    Severity.HIGH,
    "A guest has more memory than its app may use",
    looks_at="memory in the configuration of every guest against the memory of its app",
    why="The limit ends the guest, as a power cut would, when it comes to use what it was promised.",
    sources=(*iec("CR 7.2"), *nist("Device Security: Secure Resource Usage")),
    fix="raise the app's memory above the guest's, with room for the device models",
)
def check(facts: Facts) -> Iterator[Fault]:
    for app in facts.service("vmm"):
        wanted = guest_memory(app)
        if wanted is not None and app.memory is not None and wanted >= app.memory:
            given, own = wanted // _MIB, app.memory // _MIB
            yield Fault(f"{app.name} may use {own} MiB and gives its guest {given} MiB", app)
