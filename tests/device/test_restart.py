"""When an app is started again."""

from __future__ import annotations

import pytest

from kos.device.restart import RestartDecision
from kos.manifest.model import Restart


@pytest.mark.parametrize(
    ("policy", "failed", "again"),
    [
        ("never", True, False),
        ("never", False, False),
        ("on-failure", True, True),
        ("on-failure", False, False),
        ("always", True, True),
        ("always", False, True),
    ],
)
def test_policies(policy: str, failed: bool, again: bool) -> None:
    decision = RestartDecision(Restart(policy=policy))
    assert (decision.next_pause(0.0, failed=failed) is not None) is again


def test_pause_grows_to_its_limit() -> None:
    decision = RestartDecision(Restart(backoff_initial=0.1, backoff_max=1.0, limit=100))
    pauses = [decision.next_pause(float(n), failed=True) for n in range(6)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_limit_within_the_window() -> None:
    decision = RestartDecision(Restart(limit=3, window=10.0))
    assert all(decision.next_pause(float(n), failed=True) is not None for n in range(3))
    assert decision.exhausted(3.0)
    assert decision.next_pause(3.0, failed=True) is None


def test_old_restarts_are_forgotten() -> None:
    decision = RestartDecision(Restart(backoff_initial=0.1, limit=2, window=10.0))
    for now in (0.0, 20.0, 40.0, 60.0):
        assert decision.next_pause(now, failed=True) == 0.1


def test_forget() -> None:
    decision = RestartDecision(Restart(limit=1))
    decision.next_pause(0.0, failed=True)
    decision.forget()
    assert not decision.exhausted(0.0)
