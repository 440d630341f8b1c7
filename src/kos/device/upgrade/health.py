"""Whether a system is healthy, from its status. Pure; called again and again until it has an answer.

Healthy: every app that should be ready is, nothing has restarted for a while and, where the manifest asks for
it, the device is connected to its server. Not healthy: an app that came back too often, one that the system
cannot do without and that failed, or no answer in time.
"""

from __future__ import annotations

from collections.abc import Mapping

from kos.abi.hints import Any
from kos.abi.records import dataclass

STEADY_SECONDS = 3.0  # without a restart, once all are ready
RESTARTS_MAX = 3  # of one app while its generation is on trial
DEADLINE_SECONDS = 120.0
SERVER_SECONDS = 300.0  # until the server must have been reached: a network may be slow to come
ANSWER_SECONDS = 30.0  # that the supervisor may take to begin to answer


@dataclass(frozen=True)
class Verdict:
    """`healthy` is None while it is not known yet; `reason` says why it is False."""

    healthy: bool | None
    reason: str = ""


class Judge:
    """Watches one generation from its start.

    Args:
        now: seconds of a clock that does not jump.
        restarts: how often each app had restarted before, when it goes on from an earlier generation.
        server: it must be connected to its server too.
    """

    def __init__(self, now: float, restarts: Mapping[str, int], *, server: bool = False) -> None:
        self._server = server
        self._started = now
        self._before = dict(restarts)
        self._steady: tuple[float, dict[str, int]] | None = None

    def without_answer(self, problem: str, now: float) -> Verdict:
        """The supervisor did not answer."""
        if now - self._started >= ANSWER_SECONDS:
            return Verdict(False, f"the supervisor does not answer: {problem}")
        return Verdict(None)

    def look(self, status: Mapping[str, Any], now: float) -> Verdict:
        """One look at the supervisor's status."""
        apps: Mapping[str, Mapping[str, Any]] = status["apps"]
        restarts = {name: app["restarts"] - self._before.get(name, 0) for name, app in apps.items()}
        for name, app in sorted(apps.items()):
            if app["state"] == "failed":
                return Verdict(False, f"{name} failed: {app['last_end']}")
            if restarts[name] >= RESTARTS_MAX:
                return Verdict(False, f"{name} restarted {restarts[name]} times: {app['last_end']}")
        waiting = [
            name for name, app in sorted(apps.items()) if not app["ready"] and app["state"] != "stopped"
        ]
        reached = not self._server or status.get("server_connected") is True
        if waiting:
            self._steady = None
        elif self._steady is None or self._steady[1] != restarts:
            self._steady = (now, restarts)
        elif now - self._steady[0] >= STEADY_SECONDS:
            if reached:
                return Verdict(True)
            if now - self._started >= SERVER_SECONDS:
                return Verdict(False, f"the server was not reached in {SERVER_SECONDS:g} s")
            return Verdict(None)
        if now - self._started >= DEADLINE_SECONDS:
            return Verdict(
                False, f"not ready after {DEADLINE_SECONDS:g} s: {', '.join(waiting) or 'restarts go on'}"
            )
        return Verdict(None)
