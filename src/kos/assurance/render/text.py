"""A report for a terminal: what, where, why, how to fix; then what was waived and what was not looked at."""

from __future__ import annotations

import textwrap
from collections import Counter

from kos.assurance.finding import Finding
from kos.assurance.report import Report
from kos.assurance.rule import Severity
from kos.assurance.score import EXPLANATION

_WIDTH = 100
_SYSTEM = "the system"


def render(report: Report) -> str:
    parts = [_head(report)]
    parts += [_finding(finding) for finding in report.findings]
    if report.waived:
        parts.append("Waived:\n" + "\n".join(_waived(report)))
    if unused := report.unused_waivers():
        lines = [f"  {w.rule} of {w.app or _SYSTEM}, by {w.owner}: covers nothing" for w in unused]
        parts.append("Waivers that cover nothing:\n" + "\n".join(lines))
    parts.append(_scores(report))
    if report.skipped:
        reasons = Counter(skipped.reason for skipped in report.skipped)
        lines = [f"  {count} of the rules: {reason}" for reason, count in sorted(reasons.items())]
        parts.append("Not looked at:\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _head(report: Report) -> str:
    counts = Counter(finding.severity for finding in report.findings)
    shown = ", ".join(
        f"{counts[severity]} {severity.word}" for severity in reversed(Severity) if counts[severity]
    )
    verdict = f"found {shown}" if report.findings else "nothing found"
    return (
        f"{report.system} on {report.platform}, profile {report.profile.value}: {verdict}, "
        f"{len(report.waived)} waived, {len(report.rules)} rules"
    )


def _finding(finding: Finding) -> str:
    rule = finding.rule
    place = f"{finding.where}: " if finding.where else ""
    return "\n".join(
        [
            f"{place}{rule.severity.word} [{rule.id}] {finding.message}",
            _wrapped("why", rule.why),
            _wrapped("source", "; ".join(rule.sources)),
            _wrapped("fix", finding.fix),
        ]
    )


def _wrapped(label: str, text: str) -> str:
    lead = f"  {label}: "
    return textwrap.fill(text, _WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))


def _waived(report: Report) -> list[str]:
    return [
        f"  {finding.severity.word} [{finding.rule.id}] {finding.message}\n"
        f"    until {waiver.expires}, by {waiver.owner}: {waiver.reason}"
        for finding, waiver in report.waived
    ]


def _scores(report: Report) -> str:
    named = {app or _SYSTEM: score for app, score in report.scores.items()}
    width = max(map(len, named))
    lines = [
        f"  {name:{width}}  {score.value:3}"
        + "".join(f"  -{points} {rule}" for rule, points in score.deductions)
        for name, score in named.items()
    ]
    return f"Scores ({EXPLANATION}):\n" + "\n".join(lines)
