"""Crashes at the server: stored once however often they are told, shown whatever they hold."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kos.abi.session import UP_EVENT, Event
from kos.server.web.crash import crash_of
from tests.server.devices import Park
from tests.server.running import Server, wait_for

pytestmark = pytest.mark.group("server")

RECORD = {"number": 1, "time": 5.5, "app": "pump", "release": "1.0", "lines": ["said at last"]}


def test_a_crash_that_is_told_again_is_stored_once(studio: Server, devices: Park) -> None:
    (device,) = devices.add(1, studio.bus_port, salt="crashes")
    wait_for(device.joined.is_set, "the device joins")

    def say(detail: dict[str, Any], kind: str = "crashed") -> None:
        data = Event(kind, str(detail.get("app", "")), "ended badly", 1, detail).to_bytes()
        devices.call(lambda: device.session.send(UP_EVENT, data, devices.loop.time()))

    def page() -> str:
        with studio.client() as client:
            answer = client.get(f"/devices/{device.id}")
        assert answer.status_code == 200
        return answer.text

    say(RECORD)
    say(RECORD)
    wait_for(lambda: page().count("what is known"), "it is stored")
    say(RECORD)
    say({**RECORD, "number": 2})
    say({**RECORD, "app": "valve"})
    say({**RECORD, "time": 6.5})  # of a device that was emptied, where numbers begin anew
    say({}, "degraded")
    wait_for(lambda: "degraded" in page(), "the last one is stored")
    assert page().count("what is known") == 4 and page().count("said at last") == 4


@pytest.mark.parametrize("wrong", [None, "x", 1, math.inf, -1, [1, None], {"pc": {"x": 1}}, {"in": "y"}])
def test_a_record_may_hold_anything(studio: Server, wrong: Any) -> None:
    names = ("release", "ran", "restarts", "memory", "call", "where", "crash", "traceback", "lines")
    for name in names:
        assert crash_of({**RECORD, name: wrong}) is not None
    assert crash_of({"app": "pump", **dict.fromkeys(names, wrong)}) is not None
    assert crash_of({}) is None
