"""How often one client may try: a token bucket for each key, in memory, bounded."""

from __future__ import annotations

import time
from collections import OrderedDict

from kos.server.core.problems import TooMany

KEYS_MAX = 10_000


class RateLimit:
    """`burst` tries at once, `per_minute` in the long run."""

    def __init__(self, burst: int, per_minute: float) -> None:
        self.burst = burst
        self.rate = per_minute / 60
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def forget(self) -> None:
        """Everybody has all tries again."""
        self._buckets.clear()

    def spend(self, key: str) -> None:
        """Take one try. Raises TooMany when there is none left."""
        at = time.monotonic()
        level, since = self._buckets.pop(key, (float(self.burst), at))
        level = min(self.burst, level + (at - since) * self.rate)
        if level < 1:
            self._buckets[key] = (level, at)
            raise TooMany("too many tries", hint=f"wait {(1 - level) / self.rate:.0f} s")
        self._buckets[key] = (level - 1, at)
        while len(self._buckets) > KEYS_MAX:
            self._buckets.popitem(last=False)
