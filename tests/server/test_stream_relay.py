"""Streams in the admin app: passed on, ended when a reader falls silent; what a broken server can send."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos.abi.debug import PIECE_MAX
from kos.abi.errors import KosError
from kos.abi.stream import SILENCE_MAX, STREAMS_MAX, WINDOW, Data, End, More, parse
from kos.services.admin.streams import StreamRelay
from kos.services.admin.supervisor import SupervisorLink


class Bench:
    """A relay between a supervisor and a server that are this test."""

    def __init__(self) -> None:
        ours, self.supervisor = socket.socketpair()
        self.supervisor.settimeout(60)
        self._lines = self.supervisor.makefile("rb")
        self.sent: list[tuple[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.link = SupervisorLink(
            ours, print, print, on_stream=lambda value: self.relay.from_supervisor(value)
        )
        self.relay = StreamRelay(self.link, lambda name, data: self.sent.append((name, parse(data))))

    def open(self, identity: str = "a", now: float = 0.0) -> None:
        params = {"id": identity, "app": "pump", "kind": "shell", "who": "ann"}
        self.relay.open(params, now, self.answers.append)

    def asked(self) -> dict[str, Any]:
        return dict(json.loads(self._lines.readline()))

    def says(self, value: dict[str, Any]) -> None:
        self.supervisor.sendall(json.dumps(value).encode() + b"\n")
        self.link.read()

    def close(self) -> None:
        self._lines.close()
        self.supervisor.close()
        self.link.connection.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_bytes_and_grants_go_both_ways(bench: Bench) -> None:
    bench.open()
    assert bench.asked() == {"op": "stream.open", "id": "a", "app": "pump", "kind": "shell", "who": "ann"}
    bench.says({"ok": True, "stream": "a", "window": WINDOW})
    assert bench.answers[0]["ok"]
    bench.relay.from_server("a", Data(b"in").to_bytes(), 1)
    assert bench.asked() == {"op": "stream.data", "id": "a", "data": base64.b64encode(b"in").decode()}
    bench.relay.from_server("a", More(7).to_bytes(), 1)
    assert bench.asked() == {"op": "stream.more", "id": "a", "bytes": 7}
    bench.says({"stream": "a", "data": base64.b64encode(b"out").decode()})
    bench.says({"stream": "a", "more": 2})
    bench.says({"stream": "a", "closed": "the app ended"})
    assert bench.sent == [("a", Data(b"out")), ("a", More(2)), ("a", End("the app ended"))]
    bench.relay.from_server("a", Data(b"late").to_bytes(), 1)
    bench.open("b")
    assert bench.asked()["op"] == "stream.open", "what came late went nowhere"


def test_a_silent_reader_loses_its_stream(bench: Bench) -> None:
    bench.open(now=100.0)
    bench.asked()
    bench.says({"ok": True, "stream": "a"})
    bench.relay.from_server("a", More(0).to_bytes(), 110.0)  # a sign of life
    assert bench.relay.deadline() == 110.0 + SILENCE_MAX
    bench.relay.tick(110.0 + SILENCE_MAX - 1)
    assert not bench.sent
    bench.relay.tick(110.0 + SILENCE_MAX)
    assert "no sign of life" in bench.sent[0][1].reason and bench.asked()["op"] == "stream.close"


def test_a_lost_server_ends_all(bench: Bench) -> None:
    bench.open("a")
    bench.asked()
    bench.relay.lost()
    assert bench.asked() == {
        "op": "stream.close",
        "id": "a",
        "reason": "the connection to the server was lost",
    }
    bench.says({"ok": True, "stream": "a"})  # the answer to the opening comes only now
    assert bench.asked()["op"] == "stream.close"


def test_a_broken_server_opens_no_more_than_it_may(bench: Bench) -> None:
    for identity in ("", "A", "x" * 33, "a.b", 7, None):
        bench.relay.open({"id": identity}, 0.0, bench.answers.append)
        assert not bench.answers.pop()["ok"]
    for number in range(STREAMS_MAX):
        bench.open(f"s{number}")
    bench.open("s0")
    bench.open("more")
    assert [answer["ok"] for answer in bench.answers] == [False, False]
    bench.relay.from_server("s0", b"?", 0.0)
    assert isinstance(bench.sent[0][1], End)


@given(st.binary(max_size=PIECE_MAX + 2))
def test_any_bytes_are_a_frame_or_refused(raw: bytes) -> None:
    try:
        frame = parse(raw)
    except KosError:
        return
    if isinstance(frame, Data):
        assert frame.to_bytes() == raw
    elif isinstance(frame, More):
        assert 0 <= frame.count <= WINDOW
    else:
        assert frame.reason.isprintable() or not frame.reason
