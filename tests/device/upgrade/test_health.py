"""Whether a system is healthy, from what its supervisor says."""

import pytest

from kos.device.upgrade.health import (
    ANSWER_SECONDS,
    DEADLINE_SECONDS,
    RESTARTS_MAX,
    SERVER_SECONDS,
    STEADY_SECONDS,
    Judge,
)


def status(server=False, **apps):
    """Apps as (state, ready, restarts)."""
    described = {
        name: {"state": state, "ready": ready, "restarts": restarts, "last_end": "exit code 1"}
        for name, (state, ready, restarts) in apps.items()
    }
    return {"apps": described, "server_connected": server}


READY = {"alpha": ("running", True, 0), "self_test": ("running", True, 0)}


def test_ready_and_steady_is_healthy():
    judge = Judge(100.0, {})
    assert judge.look(status(**READY), 100.0).healthy is None
    assert judge.look(status(**READY), 100.0 + STEADY_SECONDS - 0.1).healthy is None
    assert judge.look(status(**READY), 100.0 + STEADY_SECONDS).healthy is True


def test_a_restart_begins_the_steady_time_anew():
    judge = Judge(0.0, {})
    judge.look(status(**READY), 0.0)
    judge.look(status(alpha=("running", True, 1)), STEADY_SECONDS)
    assert judge.look(status(alpha=("running", True, 1)), STEADY_SECONDS + 1).healthy is None
    assert judge.look(status(alpha=("running", True, 1)), 2 * STEADY_SECONDS).healthy is True


@pytest.mark.parametrize(
    ("apps", "words"),
    [
        ({"self_test": ("failed", False, 0)}, "self_test failed: exit code 1"),
        ({"alpha": ("running", True, RESTARTS_MAX)}, f"alpha restarted {RESTARTS_MAX} times"),
    ],
)
def test_what_is_not_healthy_says_which_app(apps, words):
    verdict = Judge(0.0, {}).look(status(**(READY | apps)), 1.0)
    assert verdict.healthy is False and words in verdict.reason


def test_restarts_before_the_upgrade_do_not_count():
    judge = Judge(0.0, {"alpha": 5})
    assert judge.look(status(alpha=("running", True, 5 + RESTARTS_MAX - 1)), 0.0).healthy is None
    assert judge.look(status(alpha=("running", True, 5 + RESTARTS_MAX)), 0.0).healthy is False


def test_an_app_that_is_never_ready_is_named():
    verdict = Judge(0.0, {}).look(status(alpha=("running", False, 0)), DEADLINE_SECONDS)
    assert verdict.healthy is False and "alpha" in verdict.reason


def test_a_supervisor_that_does_not_answer_is_not_healthy():
    judge = Judge(0.0, {})
    assert judge.without_answer("gone", ANSWER_SECONDS - 1).healthy is None
    assert judge.without_answer("gone", ANSWER_SECONDS).healthy is False


def test_the_server_must_be_reached_where_the_manifest_says_so():
    judge = Judge(0.0, {}, server=True)
    for now in (0.0, STEADY_SECONDS, DEADLINE_SECONDS, SERVER_SECONDS - 1):
        assert judge.look(status(**READY), now).healthy is None
    assert judge.look(status(server=True, **READY), SERVER_SECONDS - 1).healthy is True
    verdict = judge.look(status(**READY), SERVER_SECONDS)
    assert verdict.healthy is False and "server was not reached" in verdict.reason
