"""The one error root. Every error that KOS raises on purpose is a `KosError`."""

from __future__ import annotations


class KosError(Exception):
    """What was expected, what was found, where, and what to do next.

    Attributes:
        message: what was expected and what was found, one sentence, no full stop at the end.
        where: the place that caused it, as `file:line` or a path; None where there is none.
        hint: the next step for the reader; None where there is none.
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        step = f"\nhint: {self.hint}" if self.hint else ""
        return f"{place}{self.message}{step}"
