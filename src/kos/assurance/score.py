"""A score of 0 to 100 for each app and for the system, from weights that a reader can check by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kos.assurance.finding import Finding
from kos.assurance.rule import Severity

# What a finding takes from 100. One critical finding fails alone; ten low ones weigh as much as one high.
WEIGHTS = {Severity.CRITICAL: 60, Severity.HIGH: 30, Severity.MEDIUM: 10, Severity.LOW: 3}
EXPLANATION = "100 less, for each finding that is not waived, " + ", ".join(
    f"{points} when {severity.word}" for severity, points in WEIGHTS.items()
)


@dataclass(frozen=True)
class Score:
    """A score and what was taken from it.

    Attributes:
        value: 0 to 100.
        deductions: (rule's id, points) for each finding, in the report's order.
    """

    value: int
    deductions: tuple[tuple[str, int], ...]


def scores(apps: Iterable[str], findings: Iterable[Finding]) -> dict[str | None, Score]:
    """The score of each app by name, and under None that of the system by itself."""
    taken: dict[str | None, list[tuple[str, int]]] = {None: [], **{app: [] for app in apps}}
    for finding in findings:
        taken.setdefault(finding.app, []).append((finding.rule.id, WEIGHTS[finding.severity]))
    return {
        app: Score(max(0, 100 - sum(points for _, points in deductions)), tuple(deductions))
        for app, deductions in taken.items()
    }
