"""The trace server's logic: rings read in turn, frames of bounded size, watchers that come and go."""

from __future__ import annotations

import json
import os

import pytest

from kos.abi import trace
from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import TRACE_LEASE, TRACE_READ, TRACE_STOP, TRACE_WATCH, TRACE_WATCHERS_MAX
from kos.abi.status import Status
from kos.abi.trace_frame import parse
from kos.app import StatusError, _native
from kos.device.control.server import REQUEST_BYTES_MAX
from kos.services.trace.collector import ENDED_MAX, FRAMES_MAX, HISTORY, Collector
from kos.services.trace.watchers import KEPT_MAX, Watchers


class Rings:
    """Stands for the message server and for the apps; reads as libkos reads."""

    trace_read = staticmethod(_native.trace_read)
    trace_counts = staticmethod(_native.trace_counts)

    def __init__(self) -> None:
        self.rings: list[tuple[int, int, str]] = []  # number, descriptor, app
        self.peers = b""

    def add(self, app: str) -> int:
        fd = os.memfd_create("ring")
        os.truncate(fd, trace.ring_size(trace.RECORD_SIZE))
        self.rings.append((len(self.rings) + 1, fd, app))
        return fd

    def trace_next(self, after: int):
        for number, fd, app in self.rings:
            if number > after:
                size = trace.ring_size(trace.RECORD_SIZE)
                return number, 0x10000 + number, trace.RECORD_SIZE, size, app, os.dup(fd)
        raise StatusError(Status.NO_REPLY)

    def trace_peers(self, after: int) -> bytes:
        return b"".join(peer.pack() for peer in trace.peers(self.peers) if peer.mailbox > after)


def write(fd: int, count: int, begin: int = 0) -> None:
    """Records whose label is their number."""
    for number in range(begin, begin + count):
        place = trace.HEADER_SIZE + number % trace.ENTRIES * trace.RECORD_SIZE
        os.pwrite(fd, number.to_bytes(8, "little"), place + 8)
    os.pwrite(fd, (begin + count).to_bytes(4, "little"), trace.FIELDS["head"][0])


@pytest.fixture
def rings():
    made = Rings()
    yield made
    for _number, fd, _app in made.rings:
        os.close(fd)


def collected(collector: Collector) -> dict[str, list[int]]:
    """What one turn brings: labels by app. Every frame fits a line of the supervisor's and can be parsed."""
    found: dict[str, list[int]] = {}
    for frame in collector.turn(1):
        assert len(json.dumps({"op": "trace_frame", "frame": frame})) < REQUEST_BYTES_MAX
        for chunk in parse(frame).chunks:
            found.setdefault(chunk.app, []).extend(record.label for record in chunk.records)
    return found


def test_new_records_come_once_and_in_order(rings):
    fd, collector = rings.add("pump"), Collector(rings, "msg0")
    write(fd, 3)
    assert collected(collector) == {"pump": [0, 1, 2]}
    assert collected(collector) == {}
    write(fd, 2, 3)
    assert collected(collector) == {"pump": [3, 4]}


def test_an_app_that_floods_takes_no_others_share(rings):
    loud, quiet = rings.add("loud"), rings.add("quiet")
    collector = Collector(rings, "msg0")
    for turn in range(5):
        write(loud, trace.ENTRIES - 1, turn * (trace.ENTRIES - 1))
        write(quiet, 2, turn * 2)
        found = collected(collector)
        assert found["quiet"] == [2 * turn, 2 * turn + 1]
        assert len(found["loud"]) <= FRAMES_MAX * 512


def test_many_apps_all_get_their_turn(rings):
    fds = [rings.add(f"app{n}") for n in range(200)]
    collector = Collector(rings, "msg0")
    for fd in fds:
        write(fd, 4)
    seen: dict[str, list[int]] = {}
    for _ in range(3):
        for app, labels in collected(collector).items():
            seen.setdefault(app, []).extend(labels)
    assert len(seen) == 200 and all(labels == [0, 1, 2, 3] for labels in seen.values())


def test_a_watch_begins_with_the_newest_of_what_is_there(rings):
    fd, collector = rings.add("pump"), Collector(rings, "msg0")
    write(fd, 2 * HISTORY)
    collector.skip_to_now()
    assert collected(collector)["pump"] == list(range(HISTORY, 2 * HISTORY))


def test_who_watches_later_is_told_all_that_is_so(rings):
    rings.add("pump")
    rings.peers = trace.Peer(7, 1, 2, "weather").pack()
    collector = Collector(rings, "msg0")
    collector.learn_names(["weather"])
    collector.learn_event([1, "pump", "ready", ""])
    first = collector.turn(1)
    assert collector.turn(2) == []
    collector.begin()
    again = collector.turn(3)
    for key in ("apps", "peers", "names", "events"):
        assert any(key in frame for frame in first) and any(key in frame for frame in again), key


def test_who_watches_later_is_told_what_happened_just_before(rings):
    idle, busy, collector = rings.add("idle"), rings.add("busy"), Collector(rings, "msg0")
    write(idle, 3)
    collector.skip_to_now()
    assert collected(collector) == {"idle": [0, 1, 2]} and collected(collector) == {}
    write(busy, 2 * HISTORY)  # which the first one has not read
    collector.begin()
    again = collected(collector)
    assert again == {"idle": [0, 1, 2], "busy": list(range(2 * HISTORY))}
    assert collected(collector) == {}


def test_the_ring_of_an_earlier_start_goes_once_it_was_read(rings):
    old, collector = rings.add("pump"), Collector(rings, "msg0")
    write(old, 3)
    new = rings.add("pump")
    write(new, 2)
    assert sorted(collected(collector)["pump"]) == [0, 0, 1, 1, 2]
    assert collected(collector) == {}
    write(old, 5, 3)  # nobody should; and it is not looked at any more
    write(new, 1, 2)
    assert collected(collector) == {"pump": [2]}


def test_of_earlier_starts_that_nobody_has_read_the_newest_stay(rings):
    for start in range(ENDED_MAX + 5):
        write(rings.add("pump"), start + 1)
    collector = Collector(rings, "msg0")
    assert collector.status_of("pump") == (ENDED_MAX + 5, 0)
    assert len(collected(collector)["pump"]) == sum(range(5, ENDED_MAX + 6))


def test_more_mailboxes_than_fit_a_turn_keep_no_record_back(rings):
    fd, collector = rings.add("pump"), Collector(rings, "msg0")
    rings.peers = b"".join(trace.Peer(n, 1, 2, "w" * 64).pack() for n in range(1, 3000))
    write(fd, 5)
    frames = collector.turn(1)
    assert sum("rings" in frame for frame in frames) == 1
    assert all(len(json.dumps(frame)) < REQUEST_BYTES_MAX for frame in frames)
    told = sum(
        len(frame.get("peers", []))
        for frame in frames + collector.turn(2) + collector.turn(3) + collector.turn(4)
    )
    assert told == 2999


def test_a_head_of_any_value_is_one_ring_of_work(rings):
    fd, collector = rings.add("thief"), Collector(rings, "msg0")
    for head in (0xFFFFFFFF, 1, 0x80000000, 0):
        os.pwrite(fd, head.to_bytes(4, "little"), trace.FIELDS["head"][0])
        assert len(collected(collector).get("thief", [])) < trace.ENTRIES


# --- watchers ---------------------------------------------------------------------------------------------
class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_client_reads_frames_in_pieces(clock):
    begun = []
    watchers = Watchers(lambda: begun.append(1), clock)
    assert watchers.handle("admin", TRACE_READ, 0, b"").status is Status.UNAVAILABLE
    assert watchers.handle("admin", TRACE_WATCH, 0, b"").status is Status.OK and begun == [1]
    line = b"x" * (PAYLOAD_MAX_SIZE + 10) + b"\n"
    watchers.give(line)
    first = watchers.handle("admin", TRACE_READ, 0, b"")
    second = watchers.handle("admin", TRACE_READ, 0, b"")
    assert first.payload + second.payload == line
    assert (first.param, second.param) == (11, 0)


def test_who_reads_no_more_watches_no_more(clock):
    watchers = Watchers(lambda: None, clock)
    watchers.handle("admin", TRACE_WATCH, 0, b"")
    clock.now += TRACE_LEASE
    assert watchers.any()
    clock.now += 0.1
    assert not watchers.any()
    assert watchers.handle("admin", TRACE_READ, 0, b"").status is Status.UNAVAILABLE


def test_a_client_that_does_not_read_costs_a_bounded_memory(clock):
    watchers = Watchers(lambda: None, clock)
    watchers.handle("admin", TRACE_WATCH, 0, b"")
    for _ in range(100):
        watchers.give(b"x" * 50_000)
    total = 0
    while part := watchers.handle("admin", TRACE_READ, 0, b"").payload:
        total += len(part)
    assert 0 < total <= KEPT_MAX and total % 50_000 == 0, "only whole frames are left out"


def test_watchers_are_counted(clock):
    watchers = Watchers(lambda: None, clock)
    for n in range(TRACE_WATCHERS_MAX):
        assert watchers.handle(f"app{n}", TRACE_WATCH, 0, b"").status is Status.OK
    assert watchers.handle("one more", TRACE_WATCH, 0, b"").status is Status.FULL
    assert watchers.handle("app0", TRACE_WATCH, 0, b"").status is Status.OK, "the same one may begin anew"
    assert watchers.handle("app0", TRACE_STOP, 0, b"").status is Status.OK
    assert watchers.handle("one more", TRACE_WATCH, 0, b"").status is Status.OK
    assert watchers.handle("app1", 99, 0, b"").status is Status.NOT_IMPLEMENTED
    assert watchers.handle("app1", TRACE_READ, 0, b"x").status is Status.BAD_REQUEST
