"""What every benchmark shares: its options, the table, the machine, and re-execution in our environment.

A benchmark is an executable that calls `main(measure)`. `measure(quick)` yields `Figure`s; each that claims
something is a ratio against a peer or a bare baseline that was measured in the same run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def use_our_environment() -> None:
    """Start again under the project's own Python, where `./kos-tool` or `./test` has set one up."""
    python = ROOT / ".venv" / "bin" / "python"
    if Path(sys.prefix) != ROOT / ".venv" and python.exists():
        os.execv(python, [str(python), *sys.argv])
    if importlib.util.find_spec("pytest") is None:
        raise SystemExit("benchmarks run in the environment of the tests\nhint: ./test --list sets it up")


use_our_environment()


@dataclass(frozen=True)
class Figure:
    """One row of a benchmark's table.

    Attributes:
        name: what was measured.
        unit: of value and baseline.
        value: ours.
        baseline: of the peer or the bare operation in the same run; None where there is none to compare with.
        note: the peer's name and version.
    """

    name: str
    unit: str
    value: float
    baseline: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None


def machine() -> str:
    """Processor, cores, kernel and Python of this run."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    kernel, python = platform.release(), platform.python_version()
    return f"{model}, {os.cpu_count()} processors, Linux {kernel}, Python {python}"


def percentile(samples: list[float], percent: float) -> float:
    """The sample below which `percent` of them lie (nearest rank)."""
    ranked = sorted(samples)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


def median(samples: Iterable[float]) -> float:
    return statistics.median(samples)


def show(figures: list[Figure]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading, justify in (
        ("", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("baseline", "right"),
        ("ratio", "right"),
        ("against", "left"),
    ):
        table.add_column(heading, justify=justify)
    for each in figures:
        baseline = f"{each.baseline:,.3g}" if each.baseline is not None else ""
        ratio = f"{each.ratio:.3g}" if each.ratio is not None else ""
        table.add_row(each.name, f"{each.value:,.4g}", each.unit, baseline, ratio, each.note)
    console = Console(width=140 if not sys.stdout.isatty() else None)
    console.print(machine(), highlight=False)
    console.print(table)


def main(measure: Callable[..., Iterable[Figure]], **choices: Sequence[str]) -> None:
    """Parse the options that every benchmark has, measure, print the table or write JSON.

    Args:
        measure: is called with whether the run is to be quick, and with what was chosen of each of `choices`.
        choices: an option each, and what it may be; all of them where it is left out.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write the figures there as a list of objects"
    )
    for name, allowed in choices.items():
        parser.add_argument(
            f"--{name}", action="append", choices=allowed, help="this one only; may be repeated"
        )
    options = parser.parse_args()
    chosen = {name: getattr(options, name) or allowed for name, allowed in choices.items()}
    figures = list(measure(options.quick, **chosen))
    show(figures)
    if options.json:
        rows = [asdict(each) | {"ratio": each.ratio} for each in figures]
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
