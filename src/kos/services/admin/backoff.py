"""How long to wait before the next try: twice as long each time, with jitter, so that no storm keeps step."""

from __future__ import annotations

import random

FIRST = 0.5  # seconds
MOST = 60.0


class Backoff:
    """Waiting times of one connection."""

    def __init__(self, first: float = FIRST, most: float = MOST, source: random.Random | None = None) -> None:
        self._first = first
        self._most = most
        self._random = source or random.SystemRandom()
        self._next = first

    def wait(self) -> float:
        """Seconds until the next try."""
        top, self._next = self._next, min(self._next * 2, self._most)
        return self._random.uniform(top / 4, top)

    def reset(self) -> None:
        """It worked."""
        self._next = self._first
