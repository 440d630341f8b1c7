"""A report as SARIF 2.1.0 (OASIS standard), which code hosts show at the line of the user's manifest."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from kos.abi.version import VERSION
from kos.assurance.finding import Finding
from kos.assurance.report import Report
from kos.assurance.rule import Rule, Severity
from kos.assurance.waivers import Waiver

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
# SARIF 3.27.10: `error`, `warning`, `note`. The numbers are how code hosts tell high from critical.
_LEVELS = {
    Severity.LOW: ("note", "3.0"),
    Severity.MEDIUM: ("warning", "5.5"),
    Severity.HIGH: ("error", "8.0"),
    Severity.CRITICAL: ("error", "9.5"),
}
_ROOT = "%SRCROOT%"  # what code hosts take for the top of the repository


def render(report: Report) -> str:
    rules = sorted({*report.rules, *(f.rule for f in report.findings)}, key=lambda rule: rule.id)
    index = {rule.id: number for number, rule in enumerate(rules)}
    results = [_result(finding, index, report.root) for finding in report.findings]
    results += [
        {**_result(f, index, report.root), "suppressions": [_suppression(w)]} for f, w in report.waived
    ]
    run = {
        "tool": {
            "driver": {
                "name": "ManifestAssurance",
                "organization": "KOS",
                "semanticVersion": VERSION,
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "automationDetails": {"id": f"kos-assurance/{report.profile.value}/"},
        "originalUriBaseIds": {
            _ROOT: {"description": {"text": "the top of the repository, else the system's directory"}}
        },
        "columnKind": "unicodeCodePoints",
        "properties": {"system": report.system, "platform": report.platform, "profile": report.profile.value},
        "results": results,
    }
    return (
        json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)
        + "\n"
    )


def _rule(rule: Rule) -> dict[str, Any]:
    level, number = _LEVELS[rule.severity]
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.fix}\n\n{'; '.join(rule.sources)}"},
        "defaultConfiguration": {"level": level},
        "properties": {"tags": ["security", rule.group], "security-severity": number},
    }


def _result(finding: Finding, index: dict[str, int], root: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule.id,
        "ruleIndex": index[finding.rule.id],
        "level": _LEVELS[finding.severity][0],
        "message": {"text": f"{finding.message}. Fix: {finding.fix}"},
        "partialFingerprints": {"kosFinding/v1": finding.fingerprint},
    }
    place = _place(finding.where, root)
    logical = [{"name": finding.app, "kind": "module"}] if finding.app else []
    if place or logical:
        result["locations"] = [{**place, **({"logicalLocations": logical} if logical else {})}]
    return result


def _place(where: str, root: str) -> dict[str, Any]:
    path, _, line = where.rpartition(":")
    if not path or not line.isdigit():
        return {}
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(root + path), "uriBaseId": _ROOT},
            "region": {"startLine": max(1, int(line))},
        }
    }


def _suppression(waiver: Waiver) -> dict[str, Any]:
    return {
        "kind": "external",
        "status": "accepted",
        "justification": f"{waiver.reason} ({waiver.owner}, until {waiver.expires})",
    }
