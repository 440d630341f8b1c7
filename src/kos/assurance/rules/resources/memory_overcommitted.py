"""More memory promised than there is."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Fault, Severity, iec, nist, rule

_MIB = 1 << 20


@rule(
    "memory-overcommitted",
    Severity.HIGH,
    "The apps may use more memory than the board has",
    looks_at=(
        "the sum of all memory limits, guests included, and the platform's own need, against the board's RAM"
    ),
    why=(
        "When the limits together exceed the memory, the kernel ends some app that kept its own limit: one "
        "app's appetite becomes another's failure."
    ),
    sources=(*iec("CR 7.1", "CR 7.2"), *nist("Device Security: Secure Resource Usage")),
    fix="lower the memory of the largest apps, or choose a board with more",
    needs=("ram",),
)
def check(facts: Facts) -> Iterator[Fault]:
    apps = sum(app.memory or 0 for app in facts.apps.values())
    reserved = facts.board.reserved
    if apps + reserved > facts.board.ram:
        yield Fault(
            f"{len(facts.apps)} apps may use {apps // _MIB} MiB and the platform {reserved // _MIB} MiB, "
            f"of {facts.board.ram // _MIB} MiB on {facts.board.name}"
        )
