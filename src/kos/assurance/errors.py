"""The error of assurance itself: a wrong waiver file, a wrong question, a broken plug-in."""

from __future__ import annotations

from kos.abi.errors import KosError


class AssuranceError(KosError):
    """What was asked of assurance cannot be answered."""
