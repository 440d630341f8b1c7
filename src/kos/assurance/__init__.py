"""ManifestAssurance: say what a system can do, and whether it should.

Pure: it judges manifests, and facts of images and running systems that somebody else collected. It opens no
file, asks no network and changes nothing.

    report = check(manifest, profile="release", waivers=parse_waivers(text, rule_ids()))
    print(report.render("text"))
    exit(report.exit_code(Severity.MEDIUM))
"""

from kos.assurance.board import Board, Region
from kos.assurance.check import check
from kos.assurance.errors import AssuranceError
from kos.assurance.finding import Finding
from kos.assurance.registry import all_rules, rule_by_id
from kos.assurance.report import KINDS, Report
from kos.assurance.rule import Profile, Rule, Severity
from kos.assurance.waivers import Waiver, parse_waivers

__all__ = [
    "KINDS",
    "AssuranceError",
    "Board",
    "Finding",
    "Profile",
    "Region",
    "Report",
    "Rule",
    "Severity",
    "Waiver",
    "all_rules",
    "check",
    "parse_waivers",
    "rule_by_id",
    "rule_ids",
]


def rule_ids() -> set[str]:
    """The ids of all rules, for `parse_waivers`."""
    return {rule.id for rule in all_rules()}
