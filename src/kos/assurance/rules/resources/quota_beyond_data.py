"""More storage promised than there is."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, nist, rule
from kos.manifest import Storage

_MIB = 1 << 20


@rule(
    "quota-beyond-data",
    Severity.HIGH,
    "The apps may store more than the data partition holds",
    looks_at="the sum of all storage quotas against the option data_size, else against the board's partition",
    why=(
        "The first to fill its quota stops the others from writing, upgrades among them: a device that cannot"
        " store an upgrade cannot be repaired."
    ),
    sources=(*iec("CR 7.2"), *nist("Device Security: Secure Resource Usage")),
    fix="lower the quotas, or set data_size to what the storage really has",
)
def check(facts: Facts) -> Iterator[Fault]:
    size = facts.options.data_size or (facts.board.data_size if facts.board else None)
    quotas = sum(resource.size for app in facts.apps.values() for resource in app.resources_of(Storage))
    if size is not None and quotas > size:
        yield Fault(f"quotas of {quotas // _MIB} MiB do not fit into a data partition of {size // _MIB} MiB")
