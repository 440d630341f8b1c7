"""What a check found, as one value: verdict, findings, waivers, scores. Drawing it is in `render/`."""

from __future__ import annotations

from dataclasses import dataclass

from kos.assurance.errors import AssuranceError
from kos.assurance.finding import Finding
from kos.assurance.rule import Profile, Rule, Severity
from kos.assurance.score import Score
from kos.assurance.waivers import Waiver

# Exit codes: 1 and 2 mean a wrong command and a bug of ours everywhere in KOS.
EXIT_CODES = {Severity.LOW: 3, Severity.MEDIUM: 4, Severity.HIGH: 5, Severity.CRITICAL: 6}
KINDS = ("text", "json", "sarif", "html")


@dataclass(frozen=True)
class Skipped:
    """A rule that was not run, and why: a report never hides what it did not look at."""

    rule: Rule
    reason: str


@dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes:
        system: name and release, such as `weather_station 0.1.0`.
        platform: the spec.
        profile: that was judged.
        findings: what is wrong and not waived, worst first.
        waived: what is wrong and answered for, with the waiver.
        waivers: all that were given, also those that cover nothing.
        scores: by app's name; None is the system by itself.
        rules: that were run.
        skipped: that were not.
        root: what comes before the places of findings where they are looked up from the top of a repository,
            such as `devices/station/`.
    """

    system: str
    platform: str
    profile: Profile
    findings: tuple[Finding, ...]
    waived: tuple[tuple[Finding, Waiver], ...]
    waivers: tuple[Waiver, ...]
    scores: dict[str | None, Score]
    rules: tuple[Rule, ...]
    skipped: tuple[Skipped, ...]
    root: str = ""

    @property
    def worst(self) -> Severity | None:
        """The highest severity that is not waived."""
        return max((finding.severity for finding in self.findings), default=None)

    def fails(self, threshold: Severity = Severity.LOW) -> bool:
        """Whether anything is at least as bad as the threshold."""
        return self.worst is not None and self.worst >= threshold

    def exit_code(self, threshold: Severity = Severity.LOW) -> int:
        """0, or 3 to 6 by the worst finding that is at or above the threshold."""
        return EXIT_CODES[self.worst] if self.worst is not None and self.fails(threshold) else 0

    def unused_waivers(self) -> tuple[Waiver, ...]:
        """Waivers that cover nothing: take them out of the file."""
        used = {waiver for _, waiver in self.waived}
        return tuple(waiver for waiver in self.waivers if waiver not in used)

    def render(self, kind: str = "text") -> str:
        """The report as `text`, `json`, `sarif` (2.1.0) or `html`."""
        if kind not in KINDS:
            raise AssuranceError(f"there is no report as {kind!r}", hint="known: " + ", ".join(KINDS))
        from importlib import import_module  # three of the four are not needed

        return import_module(f"kos.assurance.render.{kind}").render(self)
