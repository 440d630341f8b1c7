"""A report for programs, as one JSON object with a format and a version."""

from __future__ import annotations

import json
from typing import Any

from kos.assurance.finding import Finding
from kos.assurance.report import Report
from kos.assurance.score import WEIGHTS
from kos.assurance.waivers import Waiver

FORMAT, VERSION = "kos.assurance.report", 1


def render(report: Report) -> str:
    value = {
        "format": FORMAT,
        "version": VERSION,
        "system": report.system,
        "platform": report.platform,
        "profile": report.profile.value,
        "worst": report.worst.word if report.worst is not None else None,
        "findings": [finding_object(finding) for finding in report.findings],
        "waived": [{**finding_object(f), "waiver": waiver_object(w)} for f, w in report.waived],
        "unused_waivers": [waiver_object(waiver) for waiver in report.unused_waivers()],
        "scores": {
            "system": report.scores[None].value,
            "apps": {app: score.value for app, score in report.scores.items() if app is not None},
            "weights": {severity.word: points for severity, points in WEIGHTS.items()},
        },
        "rules": [rule.id for rule in report.rules],
        "skipped": [{"rule": skipped.rule.id, "reason": skipped.reason} for skipped in report.skipped],
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def finding_object(finding: Finding) -> dict[str, Any]:
    rule = finding.rule
    return {
        "rule": rule.id,
        "group": rule.group,
        "severity": rule.severity.word,
        "title": rule.title,
        "message": finding.message,
        "app": finding.app,
        "where": finding.where or None,
        "why": rule.why,
        "sources": list(rule.sources),
        "fix": finding.fix,
        "fingerprint": finding.fingerprint,
    }


def waiver_object(waiver: Waiver) -> dict[str, Any]:
    return {
        "rule": waiver.rule,
        "app": waiver.app,
        "owner": waiver.owner,
        "reason": waiver.reason,
        "expires": waiver.expires.isoformat(),
    }
