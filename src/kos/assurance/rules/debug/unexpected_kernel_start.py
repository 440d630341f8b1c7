"""The running kernel was started with something else."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "unexpected-kernel-start",
    Severity.CRITICAL,
    "The kernel was started with another command line than was built",
    looks_at="the running kernel's command line against the board's and the manifest's",
    why="Whoever can change it owns the device before the first app starts.",
    sources=(*etsi("5.7-1", "5.7-2"), *iec("EDR 3.14", "CR 3.4")),
    fix="restore the boot environment, and find out who could change it",
    depth=Depth.RUNNING,
    needs=("kernel_command_line",),
)
def check(facts: Facts) -> Iterator[Fault]:
    expected, found = facts.board.kernel_command_line, facts.running.kernel_command_line
    if found is None:
        return
    words = expected.split() + (facts.options.kernel_command_line or "").split()
    extra = [word for word in found.split() if word not in words]
    missing = [word for word in words if word not in found.split()]
    if extra or missing:
        parts = [f"with {' '.join(extra)} added"] * bool(extra) + [f"without {' '.join(missing)}"] * bool(
            missing
        )
        yield Fault(f"the kernel was started {' and '.join(parts)}")
