"""The trace on its way to the server: leases, budget, both sources, and sources that fail."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from kos.abi.errors import KosError
from kos.abi.session import TRACE_LEASE_MAX, load
from kos.services.admin.supervisor import SupervisorLink
from kos.services.admin.trace import RATE, TraceRelay


class Port:
    """Stands for the trace admin port."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = list(parts)
        self.watched = self.stopped = 0
        self.broken = False

    def watch(self) -> None:
        if self.broken:
            raise KosError("the trace server: UNAVAILABLE", hint="a hint")
        self.watched += 1

    def read(self) -> bytes:
        if self.broken:
            raise KosError("the trace server: UNAVAILABLE")
        return self.parts.pop(0) if self.parts else b""

    def stop(self) -> None:
        self.stopped += 1


class Rig:
    """A relay, the supervisor's end of its link, and what it sent and answered."""

    def __init__(self, port: Port | None) -> None:
        ours, self.supervisor = socket.socketpair()
        self.supervisor.settimeout(60)
        self.link = SupervisorLink(ours, print, print, on_trace=lambda frame: self.relay.take(frame))
        self.sent: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.relay = TraceRelay(self.link, port, lambda raw: self.sent.append(load("t", raw).data["frame"]))

    def start(self, now: float, **params: Any) -> None:
        self.relay.start(params, now, self.answers.append)

    def asked(self) -> list[str]:
        """Operations that reached the supervisor; each is answered."""
        text = self.supervisor.recv(65536)
        self.supervisor.sendall(b'{"ok": true}\n' * text.count(b"\n"))
        self.link.read()
        return [json.loads(line)["op"] for line in text.splitlines()]

    def close(self) -> None:
        self.link.connection.close()
        self.supervisor.close()


@pytest.fixture
def rig(request: pytest.FixtureRequest):
    made = Rig(getattr(request, "param", None))
    yield made
    made.close()


def test_frames_of_the_supervisor_go_on_while_the_lease_holds(rig: Rig) -> None:
    rig.start(0.0, seconds=5, anew=True)
    assert rig.asked() == ["trace"] and rig.answers == [{"ok": True}]
    rig.supervisor.sendall(b'{"trace": {"v": 1, "now": 1}}\n')
    rig.link.read()
    assert rig.sent == [{"v": 1, "now": 1}]
    rig.relay.turn(4.9)
    rig.start(4.9, seconds=5)
    assert rig.answers[-1] == {"ok": True} and rig.relay.due() == pytest.approx(9.9)
    rig.relay.turn(9.9)
    assert rig.asked() == ["trace_stop"] and rig.relay.due() == float("inf")
    rig.supervisor.sendall(b'{"trace": {"v": 1, "now": 2}}\n')
    rig.link.read()
    assert len(rig.sent) == 1, "nobody watches any more"


def test_one_more_who_watches_is_told_all_anew(rig: Rig) -> None:
    rig.start(0.0, seconds=5, anew=True)
    assert rig.asked() == ["trace"]
    rig.start(1.0, seconds=5, anew=True)
    assert rig.asked() == ["trace"]


@pytest.mark.parametrize("seconds", [0, -1, TRACE_LEASE_MAX + 1, "5", None])
def test_a_lease_has_a_limit(rig: Rig, seconds: Any) -> None:
    rig.start(0.0, seconds=seconds)
    assert not rig.answers[0]["ok"] and str(TRACE_LEASE_MAX) in rig.answers[0]["error"]["hint"]
    assert rig.relay.due() == float("inf")


@pytest.mark.parametrize("rig", [Port(b'{"now": 1}\n{"no', b'w": 2}\n', b'{"now": 3}\n')], indirect=True)
def test_the_admin_port_is_read_until_it_has_nothing(rig: Rig) -> None:
    rig.start(0.0, seconds=5, anew=True)
    rig.relay.turn(0.1)
    assert [frame["now"] for frame in rig.sent] == [1, 2, 3]
    assert rig.relay.due() == pytest.approx(0.2)


@pytest.mark.parametrize("rig", [Port()], indirect=True)
def test_a_trace_server_that_is_not_there_ends_the_watch(rig: Rig) -> None:
    rig.start(0.0, seconds=5, anew=True)
    rig.relay._port.broken = True
    rig.relay.turn(0.1)
    assert rig.relay.due() == float("inf")
    rig.start(1.0, seconds=5, anew=True)
    assert rig.answers[-1]["error"] == {"message": "the trace server: UNAVAILABLE", "hint": "a hint"}


def test_records_over_the_budget_are_left_out_and_the_rest_is_not(rig: Rig) -> None:
    rig.start(0.0, seconds=60, anew=True)
    rig.asked()
    records = {"rings": [["pump", 1, 64, 0, 0, "A" * 40_000]]}
    for _ in range(20):
        rig.relay.take(records)
    assert len(rig.sent) == RATE // 40_000
    rig.relay.take({"peers": [[1, 2, 3, "weather"]]})
    assert "peers" in rig.sent[-1], "what is told once only is never left out"
    rig.relay.turn(1.0)
    rig.relay.take(records)
    assert "rings" in rig.sent[-1]


def test_a_connection_that_is_lost_ends_the_watch(rig: Rig) -> None:
    rig.start(0.0, seconds=5, anew=True)
    rig.asked()
    rig.relay.stop()
    assert rig.asked() == ["trace_stop"]
    rig.relay.stop()
    assert rig.link.waiting == 0
