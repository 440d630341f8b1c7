"""When an app that ended is started again, and how soon. Pure: it is told the time."""

from __future__ import annotations

from collections import deque

from kos.manifest.model import Restart


class RestartDecision:
    """Counts the restarts of one app and decides about the next."""

    def __init__(self, rule: Restart) -> None:
        self._rule = rule
        self._times: deque[float] = deque()

    def next_pause(self, now: float, *, failed: bool) -> float | None:
        """Seconds until the app is to be started again, or None when it stays down.

        Only what `exhausted` does not explain is the policy's own decision.
        """
        rule = self._rule
        if rule.policy == "never" or (rule.policy == "on-failure" and not failed):
            return None
        if self.exhausted(now):
            return None
        pause = min(rule.backoff_max, rule.backoff_initial * 2.0 ** len(self._times))
        self._times.append(now)
        return pause

    def exhausted(self, now: float) -> bool:
        """Whether the limit of restarts within the window is used up."""
        while self._times and now - self._times[0] > self._rule.window:
            self._times.popleft()
        return len(self._times) >= self._rule.limit

    def forget(self) -> None:
        """Somebody restarts the app by hand: it begins anew."""
        self._times.clear()
