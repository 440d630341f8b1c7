"""A report for people to read, print and sign: one file, no scripts, nothing fetched from elsewhere."""

from __future__ import annotations

from html import escape

from kos.assurance.finding import Finding
from kos.assurance.report import Report
from kos.assurance.rule import Severity
from kos.assurance.score import EXPLANATION

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
article { border-left: .4rem solid #888; padding: .2rem 1rem; margin: 1rem 0; break-inside: avoid }
.critical { border-color: #8b0000 } .high { border-color: #d9480f } .medium { border-color: #b08900 }
.low { border-color: #4a6fa5 } h1, h2, h3 { line-height: 1.2 } h3 { margin: .3rem 0; font-size: 1.05rem }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere } dl { margin: .3rem 0 }
dt { font-weight: 600; float: left; clear: left; width: 5rem } dd { margin: 0 0 .2rem 5.5rem }
table { border-collapse: collapse }
td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top }
"""


def render(report: Report) -> str:
    title = escape(f"Assurance of {report.system}")
    sections = [
        f"<h1>{title}</h1>",
        f"<p>{escape(_verdict(report))}</p>",
        *(["<h2>Findings</h2>"] if report.findings else []),
        *[_finding(finding) for finding in report.findings],
        _waived(report),
        _scores(report),
        _skipped(report),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _verdict(report: Report) -> str:
    counts = [
        f"{number} {severity.word}"
        for severity in reversed(Severity)
        if (number := sum(finding.severity == severity for finding in report.findings))
    ]
    found = ", ".join(counts) or "nothing found"
    return (
        f"Platform {report.platform}, profile {report.profile.value}: {found}; {len(report.waived)} waived. "
        f"{len(report.rules)} rules looked."
    )


def _finding(finding: Finding) -> str:
    rule = finding.rule
    rows = [("Why", rule.why), ("Source", "; ".join(rule.sources)), ("Fix", finding.fix)]
    details = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    where = f"<code>{escape(finding.where)}</code> " if finding.where else ""
    word = rule.severity.word
    return (
        f'<article class="{word}"><h3>{escape(finding.message)}</h3>\n'
        f"<p>{where}{word}, rule <code>{escape(rule.id)}</code></p>\n<dl>{details}</dl></article>"
    )


def _table(headings: list[str], rows: list[list[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"


def _waived(report: Report) -> str:
    rows = [
        [finding.rule.id, finding.message, waiver.reason, waiver.owner, waiver.expires.isoformat()]
        for finding, waiver in report.waived
    ]
    rows += [
        [w.rule, "covers nothing", w.reason, w.owner, w.expires.isoformat()] for w in report.unused_waivers()
    ]
    if not rows:
        return ""
    return "<h2>Waivers</h2>\n" + _table(["Rule", "Finding", "Reason", "Owner", "Until"], rows)


def _scores(report: Report) -> str:
    rows = [
        [app or "the system", str(score.value), ", ".join(f"-{p} {rule}" for rule, p in score.deductions)]
        for app, score in report.scores.items()
    ]
    return f"<h2>Scores</h2>\n<p>{escape(EXPLANATION)}.</p>\n" + _table(["App", "Score", "Taken"], rows)


def _skipped(report: Report) -> str:
    if not report.skipped:
        return ""
    rows = [[skipped.rule.id, skipped.reason] for skipped in report.skipped]
    return "<h2>Not looked at</h2>\n" + _table(["Rule", "Reason"], rows)
