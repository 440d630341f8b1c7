"""Waivers: findings that somebody answers for, each with an owner, a reason and a last day.

They live in a reviewed file, `waivers.toml`, beside the system:

    [[waiver]]
    rule = "sensitive-port"
    app = "vault"                 # leave out where the finding is the system's
    owner = "Ada Lovelace"
    reason = "vault is the mediator of the key store; reviewed 2026-10-01"
    expires = 2027-04-01          # the last day on which it counts
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from kos.assurance.entries import day, parse_entries
from kos.assurance.errors import AssuranceError
from kos.assurance.finding import Finding

WAIVERS_MAX = 256
WAIVER_BYTES_MAX = 256 << 10
WAIVER_TEXT_MAX = 2000  # characters of an owner or a reason
_KEYS = {"rule", "app", "owner", "reason", "expires"}


@dataclass(frozen=True)
class Waiver:
    """One waiver.

    Attributes:
        rule: the id of the rule.
        app: whose finding; None means the findings that are the system's.
        owner: who answers for it.
        reason: why it is acceptable.
        expires: the last day on which it counts.
        where: its place in the file.
    """

    rule: str
    app: str | None
    owner: str
    reason: str
    expires: date
    where: str = ""

    def covers(self, finding: Finding) -> bool:
        return finding.rule.id == self.rule and finding.app == self.app

    def expired(self, today: date) -> bool:
        return today > self.expires


def parse_waivers(text: str, known_rules: set[str], where: str = "waivers.toml") -> tuple[Waiver, ...]:
    """The waivers in TOML text.

    Raises:
        AssuranceError: not TOML, an unknown key or rule, a missing part, too much of anything.
    """
    entries = parse_entries(text, "waiver", _KEYS, where, bytes_max=WAIVER_BYTES_MAX, entries_max=WAIVERS_MAX)
    return tuple(_waiver(entry, known_rules, place) for entry, place in entries)


def _waiver(entry: Mapping[str, Any], known_rules: set[str], where: str) -> Waiver:
    for key in ("rule", "owner", "reason"):
        value = entry.get(key)
        if not isinstance(value, str) or not value.strip() or len(value) > WAIVER_TEXT_MAX:
            raise AssuranceError(f"{key} must be text of 1 to {WAIVER_TEXT_MAX} characters", where=where)
    if entry["rule"] not in known_rules:
        raise AssuranceError(
            f"there is no rule {entry['rule']!r}", where=where, hint="kos-tool manifest.check --list-rules"
        )
    app = entry.get("app")
    if app is not None and not isinstance(app, str):
        raise AssuranceError("app must be an app's name", where=where)
    last = day(entry.get("expires"), where)
    return Waiver(entry["rule"], app, entry["owner"], entry["reason"], last, where)
