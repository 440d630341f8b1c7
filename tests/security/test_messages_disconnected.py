"""An app that its message server disconnected, alive but deaf, is ended, named and restarted by policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.device.systems import RunningSystem, app
from tests.security.hostile import PORT, beside_steady_apps

pytestmark = pytest.mark.group("security")

LIMIT = 3
BACKOFF = {"backoff_initial": 0.1, "backoff_max": 0.2, "limit": LIMIT, "window": 600.0}
PAUSES = [0.1, 0.2, 0.2]  # seconds
NAMED = "hostile: killed: msg0 disconnected it: it broke the protocol 65 times"
# Sends what is no packet until it is disconnected; nothing else ends it.
BREAK = """
import os, socket, time
def break_it():
    control = socket.socket(fileno=int(os.environ["KOS_MSG_SERVERS"].split(":")[1]))
    try:
        while control.send(b"no packet") and control.recv(8192):
            pass
    except OSError:
        pass
"""
BREAKING = f"""{BREAK}
from kos.app import ready
def main():
    ready()
    print("breaks it")
    break_it()
    time.sleep(1000)
"""
# The same, but only in its first life.
ONCE = f"""{BREAK}
import pathlib
from kos.app import connect, ready
def main():
    before = pathlib.Path("/data/before")
    if before.exists():
        token = connect("steady_protocol")
        ready()
        print("answered", token.call(1, 41).param)
    else:
        before.touch()
        break_it()
    time.sleep(1000)
"""


def breaking(policy: str, **rule: Any) -> dict[str, Any]:
    return app(
        BREAKING, access={"msg0": {PORT: {"role": "client"}}}, restart={"policy": policy, **BACKOFF, **rule}
    )


def seen_until_failed(system: RunningSystem, begin: Any) -> list[dict[str, Any]]:
    """The events about the hostile app, until it stays down."""
    seen: list[dict[str, Any]] = []
    with system.client() as client:
        events = client.events()
        begin()
        for event in events:
            if "hostile" in (event.get("name"), event.get("app")):
                seen.append(event)
                if event.get("state") == "failed":
                    return seen
    raise AssertionError(f"the events ended: {seen}")


@pytest.mark.parametrize("policy", ["on-failure", "always"])
def test_it_is_started_again_after_pauses_that_grow_until_its_limit(tmp_path: Path, policy: str) -> None:
    with beside_steady_apps(tmp_path, breaking(policy)) as system:
        system.wait_for("hostile: failed too often, it stays down; the system is degraded")
        status = system.status()
        assert status["state"] == "degraded"
        hostile = status["apps"]["hostile"]
        assert (hostile["state"], hostile["restarts"]) == ("failed", LIMIT)
        # By hand it may do so as often again: now each step is watched.
        seen = seen_until_failed(system, lambda: system.restart("hostile"))
        system.wait_for("hostile: failed too often", times=2)
        assert sum(NAMED in line for line in system.lines) == 2 * (LIMIT + 1)
        assert sum("| hostile            | breaks it" in line for line in system.lines) == 2 * (LIMIT + 1)
        ended = [event for event in seen if event["event"] == "ended"]
        assert [event["failed"] for event in ended] == [True] * (LIMIT + 1)
        assert {event["text"] for event in ended} == {NAMED.removeprefix("hostile: ")}
        changes = [event for event in seen if event["event"] == "app"]
        paused = [event["time"] for event in changes if event["state"] == "paused"]
        after = [
            change["time"]
            for change, before in zip(changes[1:], changes[:-1], strict=True)
            if before["state"] == "paused"
        ]
        waited = [end - begin for begin, end in zip(paused, after, strict=True)]
        assert len(waited) == LIMIT
        # A pause may be longer on a busy machine, never shorter; times are told to a millisecond.
        assert all(found >= least - 0.01 for found, least in zip(waited, PAUSES, strict=True)), waited


def test_it_stays_down_where_nothing_starts_it_again(tmp_path: Path) -> None:
    with beside_steady_apps(tmp_path, breaking("never")) as system:
        system.wait_for(NAMED)
        system.wait_for("hostile: failed and is not restarted; the system is degraded")
        hostile = system.status()["apps"]["hostile"]
        assert (hostile["state"], hostile["restarts"]) == ("failed", 0)


def test_one_that_breaks_it_once_has_its_connection_back(tmp_path: Path) -> None:
    """What it did before its restart is not held against it: it connects, and is answered."""
    hostile = breaking("on-failure")
    hostile["source"] = ONCE
    hostile["resources"] = [{"type": "storage", "size": 1 << 20}]
    with beside_steady_apps(tmp_path, hostile) as system:
        system.wait_for(NAMED)
        system.wait_for("| hostile            | answered 42")
        status = system.status()["apps"]["hostile"]
        assert (status["state"], status["ready"], status["restarts"]) == ("running", True, 1)
        assert status["messages"]["msg0"]["violations"] == 0
