"""How much one app may log: a token bucket for each client. Pure; the caller passes the time."""

from __future__ import annotations


class _Bucket:
    __slots__ = ("at", "dropped", "level")

    def __init__(self, level: float, at: float) -> None:
        self.level = level
        self.at = at
        self.dropped = 0


class Limiter:
    """Lets each app log `rate` lines per second, with bursts of `burst` lines, and counts what it refuses."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    def allow(self, app: str, now: float) -> bool:
        """Whether `app` may log one more line at `now` (seconds, monotonic)."""
        bucket = self._buckets.setdefault(app, _Bucket(self._burst, now))
        bucket.level = min(self._burst, bucket.level + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.level < 1:
            bucket.dropped += 1
            return False
        bucket.level -= 1
        return True

    def take_dropped(self, app: str) -> int:
        """How many lines of `app` were refused since this was last asked."""
        bucket = self._buckets.get(app)
        if bucket is None:
            return 0
        dropped, bucket.dropped = bucket.dropped, 0
        return dropped
