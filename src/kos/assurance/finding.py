"""A fault with the rule that found it: one line of a report."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kos.assurance.rule import Rule, Severity


@dataclass(frozen=True)
class Finding:
    """One thing wrong.

    Attributes:
        rule: that found it.
        message: what was found.
        app: the name of the app whose fault it is; None where it is the system's.
        where: `file:line` of the user's manifest; empty where nobody said it.
        fix: what to do.
    """

    rule: Rule
    message: str
    app: str | None
    where: str
    fix: str

    @property
    def severity(self) -> Severity:
        return self.rule.severity

    @property
    def fingerprint(self) -> str:
        """The same for the same finding in the next release, also when lines have moved."""
        text = "\0".join((self.rule.id, self.app or "", self.message))
        return hashlib.sha256(text.encode()).hexdigest()

    def order(self) -> tuple[int, str, str, str]:
        """Worst first, then by name: never by the order in which the manifest was written."""
        return (-self.severity, self.rule.group, self.rule.id, self.message)
