"""A report for people to read, print and sign: one file, no scripts, nothing fetched from elsewhere."""

from __future__ import annotations

from html import escape

from kos.assurance.finding import Finding
from kos.assurance.report import Report
from kos.assurance.rule import Severity
from kos.assurance.score import EXPLANATION

_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --page: #fff; --soft: #f3f5f8; --line: #d5dae1;
  --quiet: #565d66;
  --critical: #8b0000; --high: #b93a06; --medium: #7d6200; --low: #3a5f95; --none: #1e6b37 }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --page: #16181b; --soft: #202429; --line:
  #3b424b;
  --quiet: #a8b0ba; --critical: #ff8a8a; --high: #ff9e6b; --medium: #e5c34d; --low: #8fb4ea; --none:
  #7fd49a } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); margin: 0 }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2 } h1 { margin-bottom: .2rem } h2 { margin-top: 2rem }
h3 { margin: .2rem 0; font-size: 1.05rem; overflow-wrap: anywhere } .quiet { color: var(--quiet);
  margin-top: 0 }
.counts { list-style: none; display: flex; flex-wrap: wrap; gap: .6rem; padding: 0 }
.counts li { border: 1px solid var(--line); border-top: .25rem solid var(--tone); padding: .3rem .9rem;
  background: var(--soft) } .counts strong { font-size: 1.4rem; margin-right: .4rem }
.critical { --tone: var(--critical) } .high { --tone: var(--high) } .medium { --tone: var(--medium) }
.low { --tone: var(--low) } .none { --tone: var(--none) } .waived { --tone: var(--line) }
article { border-left: .4rem solid var(--tone); background: var(--soft); padding: .6rem 1rem; margin: 1rem
  0;
  break-inside: avoid }
.severity { color: var(--tone); font-weight: 700; text-transform: uppercase; font-size: .8rem;
  letter-spacing: .04em }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere } dl { margin: .5rem 0 0; display: grid;
  grid-template-columns: max-content 1fr; gap: .15rem 1rem } dt { font-weight: 600 } dd { margin: 0 }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .3rem 1rem .3rem 0; vertical-align: top; border-bottom: 1px solid
  var(--line) }
td.short { white-space: nowrap } meter { width: 8rem; vertical-align: middle; margin-right: .5rem }
footer { margin-top: 3rem; break-inside: avoid } footer p { border-bottom: 1px solid var(--text);
  padding-top: 2.5rem }
"""


def render(report: Report) -> str:
    title = escape(f"Assurance of {report.system}")
    sections = [
        f"<h1>{title}</h1>",
        f'<p class="quiet">{escape(_about(report))}</p>',
        _counts(report),
        *(["<h2>Findings</h2>"] if report.findings else []),
        *[_finding(finding) for finding in report.findings],
        _waived(report),
        _scores(report),
        _looked(report),
        _skipped(report),
        "<footer><h2>Decision</h2><p>Reviewed by, on, and whether it may be signed</p></footer>",
    ]
    body = "\n".join(section for section in sections if section)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _about(report: Report) -> str:
    return f"Platform {report.platform}, profile {report.profile.value}. {len(report.rules)} rules looked."


def _counts(report: Report) -> str:
    """How many of each severity, worst first."""
    counts = [
        (severity.word, sum(finding.severity == severity for finding in report.findings), severity.word)
        for severity in reversed(Severity)
    ]
    shown = [count for count in counts if count[1]] or [("none", 0, "findings")]
    if report.waived:
        shown.append(("waived", len(report.waived), "waived"))
    items = "".join(
        f'<li class="{tone}"><strong>{number}</strong>{word}</li>' for tone, number, word in shown
    )
    return f'<ul class="counts">{items}</ul>'


def _finding(finding: Finding) -> str:
    rule = finding.rule
    rows = [("Why", rule.why), ("Source", "; ".join(rule.sources)), ("Fix", finding.fix)]
    details = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    where = f"<dt>Where</dt><dd><code>{escape(finding.where)}</code></dd>" if finding.where else ""
    word = rule.severity.word
    return (
        f'<article class="{word}"><span class="severity">{word}</span> <code>{escape(rule.id)}</code>\n'
        f"<h3>{escape(finding.message)}</h3>\n<dl>{where}{details}</dl></article>"
    )


def _table(headings: list[str], rows: list[list[str]], short: tuple[int, ...] = ()) -> str:
    """A table of HTML cells; the columns `short` are never broken."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    classes = [' class="short"' if number in short else "" for number in range(len(headings))]
    body = "".join(
        "<tr>"
        + "".join(f"<td{name}>{cell}</td>" for name, cell in zip(classes, row, strict=True))
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>'
    )


def _escaped(*cells: str) -> list[str]:
    return [escape(cell) for cell in cells]


def _waived(report: Report) -> str:
    rows = [
        _escaped(f.rule.id, f.message, waiver.reason, waiver.owner, waiver.expires.isoformat())
        for f, waiver in report.waived
    ]
    rows += [
        _escaped(w.rule, "covers nothing", w.reason, w.owner, w.expires.isoformat())
        for w in report.unused_waivers()
    ]
    if not rows:
        return ""
    headings = ["Rule", "Finding", "Reason", "Owner", "Until"]
    return "<h2>Waivers</h2>\n" + _table(headings, rows, short=(0, 3, 4))


def _scores(report: Report) -> str:
    rows = [
        [
            escape(app or "the system"),
            f'<meter min="0" max="100" low="50" high="85" optimum="100" value="{score.value}"></meter>'
            f"{score.value}",
            ", ".join(f"&minus;{points} {escape(rule)}" for rule, points in score.deductions),
        ]
        for app, score in report.scores.items()
    ]
    explained = f"<h2>Scores</h2>\n<p>{escape(EXPLANATION)}.</p>\n"
    return explained + _table(["App", "Score", "Taken"], rows, short=(0, 1))


def _looked(report: Report) -> str:
    """The rules that found nothing, so that a reader sees what was asked."""
    found = {finding.rule.id for finding in report.findings} | {f.rule.id for f, _ in report.waived}
    rows = [_escaped(rule.group, rule.id, rule.title) for rule in report.rules if rule.id not in found]
    table = _table(["Group", "Rule", "Would find"], rows, short=(0, 1))
    return f"<h2>Found nothing</h2>\n<details><summary>{len(rows)} rules</summary>\n{table}</details>"


def _skipped(report: Report) -> str:
    if not report.skipped:
        return ""
    rows = [_escaped(skipped.rule.id, skipped.reason) for skipped in report.skipped]
    return "<h2>Not looked at</h2>\n" + _table(["Rule", "Reason"], rows, short=(0,))
