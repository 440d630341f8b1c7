"""Frames joined to a time line: slices, arrows, what is lost, and what no app can make others believe."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from kos.abi import trace
from kos.abi.errors import KosError
from kos.abi.status import Status
from kos.abi.trace import Flag, Kind
from kos.abi.trace_frame import FRAME_MAX, load, parse
from kos.tracing import Summary, Timeline
from kos.tracing.timeline import HISTORY, OPEN_MAX, THREADS_MAX, document
from tests.tracing.chrome import check_document
from tests.tracing.records import APPS, NOW, call, chunk, frame, record

AT = NOW - 1_000_000


def fed(*frames: dict[str, Any]) -> tuple[list[dict[str, Any]], Timeline]:
    timeline = Timeline()
    events = [event for one in frames for event in timeline.feed(parse(one))]
    check_document(document([*events, *timeline.unfinished()]))
    return events, timeline


def of(events: list[dict[str, Any]], phase: str, category: str | None = None) -> list[dict[str, Any]]:
    return [one for one in events if one["ph"] == phase and (category is None or one.get("cat") == category)]


def test_a_call_is_a_slice_on_each_side_and_an_arrow_each_way():
    events, _timeline = fed(frame(*call(AT)))
    caller, server = of(events, "X", "call")[0], of(events, "X", "serve")[0]
    assert caller["name"] == "call weather_protocol 9" and caller["dur"] == pytest.approx(400)
    assert caller["args"]["to"] == "station" and caller["args"]["status"] == "OK"
    assert server["name"] == "serve weather_protocol 9" and server["dur"] == pytest.approx(200)
    assert server["args"]["from"] == "wx" and server["args"]["badge"] == 4
    assert [(one["name"], one["pid"]) for one in of(events, "s")] == [
        ("message", caller["pid"]),
        ("answer", server["pid"]),
    ]
    assert [one["ts"] for one in of(events, "f")] == [AT / 1000 + 100, AT / 1000 + 400]


def test_the_sides_join_whichever_comes_first_and_in_whichever_frame():
    caller, server = call(AT)
    for order in ((caller, server), (server, caller)):
        events, _timeline = fed(frame(order[0]), frame(order[1], now=NOW + 1))
        assert len(of(events, "s")) == len(of(events, "f")) == 2


def test_queued_messages_join_by_their_place_in_the_queue():
    place = {"mailbox": 7, "label": 8, "flags": Flag.QUEUED | Flag.ONE_WAY}
    sent = [record(Kind.QUEUE, AT + n, sequence=n, **place) for n in (1, 2)]
    full = record(Kind.QUEUE, AT + 3, sequence=3, **place, status=int(Status.FULL))
    taken = [record(Kind.RECEIVE, AT + 10 + n, sequence=n, caller=APPS["wx"], **place) for n in (1, 2)]
    events, _timeline = fed(frame(chunk("wx", *sent, full), chunk("station", *taken)))
    assert len(of(events, "f")) == 2
    assert [one["args"]["status"] for one in of(events, "X", "send")] == ["OK", "OK", "FULL"]


def test_an_app_is_not_believed_about_a_mailbox_that_is_not_its_own():
    caller, server = call(AT)
    forged_receive = chunk(
        "thief", record(Kind.RECEIVE, AT + 50_000, mailbox=7, sequence=1, caller=APPS["wx"])
    )
    forged_call = chunk("thief", record(Kind.CALL, AT + 50_000, mailbox=7, sequence=1))
    apps = {**APPS, "thief": 0x10002}
    for forged in (forged_receive, forged_call):
        events, _timeline = fed(frame(forged, caller, server, apps=apps))
        thief = next(one["pid"] for one in of(events, "M") if one["args"]["name"] == "thief")
        arrows = of(events, "s") + of(events, "f")
        assert len(arrows) == 4 and thief not in {one["pid"] for one in arrows}


def test_a_call_without_an_answer_is_begun_and_not_ended():
    only = chunk("wx", record(Kind.CALL, AT, mailbox=7, sequence=5, label=9))
    events, timeline = fed(frame(only))
    assert not of(events, "X")
    (begun,) = timeline.unfinished()
    assert begun["ph"] == "B" and begun["name"] == "call weather_protocol 9"


def test_what_an_app_had_begun_ends_with_it():
    begun = record(Kind.CALL, AT, mailbox=7, sequence=5)
    _events, timeline = fed(frame(chunk("wx", begun)), frame(events=[[AT + 10, "wx", "ended", "killed"]]))
    assert timeline.unfinished() == []
    timeline.feed(parse(frame(chunk("wx", record(Kind.CALL, AT + 20, mailbox=7, sequence=6), ring=2))))
    assert [one["args"]["sequence"] for one in timeline.unfinished()] == [6]


def test_gaps_in_the_numbers_and_what_was_left_out_are_lost():
    mark = record(Kind.MARK, AT, label=1)
    _events, timeline = fed(
        frame(chunk("wx", mark, mark, first=10)),
        frame(chunk("wx", mark, first=15, dropped=2)),
        frame(chunk("wx", mark, first=0xFFFFFFFF, ring=2)),
        frame(chunk("wx", mark, first=1, ring=2)),
    )
    assert timeline.lost == {"wx": 3 + 2 + 1}


def test_records_told_again_are_shown_once():
    marks = [record(Kind.MARK, AT + n, label=n) for n in range(4)]
    events, timeline = fed(
        frame(chunk("wx", *marks, first=10)), frame(chunk("wx", *marks[2:], marks[0], first=12))
    )
    assert [one["name"] for one in of(events, "i")] == [f"mark {n}" for n in (0, 1, 2, 3, 0)]
    assert timeline.lost == {}


@pytest.mark.parametrize(
    "bad",
    [
        record(0, AT),
        record(200, AT),
        record(Kind.MARK, NOW + 10_000_000_000),
        record(Kind.CALL, (1 << 64) - 1),
    ],
    ids=["no kind", "unknown kind", "from the future", "the largest time"],
)
def test_records_that_make_no_sense_are_counted(bad: bytes):
    events, timeline = fed(frame(chunk("wx", bad)))
    assert timeline.invalid == {"wx": 1}
    assert {one["ph"] for one in events} == {"M"}


def test_words_over_what_json_keeps_exact_are_told_in_hex():
    events, _timeline = fed(frame(chunk("wx", record(Kind.MARK, AT, label=(1 << 64) - 1))))
    assert of(events, "i")[0]["args"]["label"] == "0xffffffffffffffff"


def test_payloads_are_shown_where_the_manifest_has_them_recorded():
    said = b"22.5\n\x1b[31m"
    caller = record(Kind.CALL, AT, mailbox=7, sequence=1, size=len(said), payload_size=len(said))
    end = record(Kind.CALL_END, AT + 1000, mailbox=7, sequence=1)
    room = trace.PAYLOAD_SIZE
    wide = [caller + said.ljust(room, b"\0"), end + bytes(room)]
    events, _timeline = fed(frame(chunk("wx", *wide, size=trace.RECORD_SIZE_PAYLOADS)))
    assert of(events, "X", "call")[0]["args"]["payload"] == "22.5··[31m"


def test_what_goes_on_since_long_is_shown_and_what_ended_long_ago_is_not():
    old = NOW - 100 * HISTORY
    slept = [record(Kind.SLEEP, old), record(Kind.WAKE, old + 50), record(Kind.SLEEP, old + 100)]
    events, timeline = fed(frame(chunk("station", *slept)))
    assert not of(events, "X")
    (goes_on,) = of(timeline.unfinished(), "B")
    assert goes_on["name"] == "sleep" and goes_on["ts"] == (old + 100) / 1000
    assert {one["args"]["name"] for one in of(events, "M")} == {"station", "thread 1"}
    woken = timeline.feed(parse(frame(chunk("station", record(Kind.WAKE, NOW), first=3), now=NOW + 1)))
    assert of(woken, "X")[0]["ts"] == (old + 100) / 1000 and not timeline.unfinished()


def test_lives_and_shares_of_processors():
    life = [[AT, "wx", "ready", ""], [AT + 5, "wx", "ended", "exited with status 1"]]
    before, after = [10**9, 0, 100, 10, 2], [10**9 + 250_000_000, 50_000_000, 200, 10, 2]
    events, _timeline = fed(
        frame(events=life, sched={"wx": before}), frame(now=NOW + 500_000_000, sched={"wx": after})
    )
    assert [(one["name"], one["args"]) for one in of(events, "i", "state")] == [
        ("ready", {}),
        ("ended", {"text": "exited with status 1"}),
    ]
    assert {one["name"]: one["args"][one["name"]] for one in of(events, "C")} == {
        "on processor %": 50.0,
        "waiting for processor %": 10.0,
        "voluntary switches/s": 200.0,
        "involuntary switches/s": 0.0,
    }


def test_a_summary_counts_by_app_and_port():
    summary = Summary()
    events, _timeline = fed(frame(*call(AT)))
    summary.add(events)
    found = summary.as_json()
    assert found["apps"]["wx"]["calls"] == 1 and found["apps"]["wx"]["p50"] == pytest.approx(400)
    assert found["apps"]["station"]["served"] == 1
    assert [(one["app"], one["port"]) for one in found["ports"]] == [
        ("station", "weather_protocol"),
        ("wx", "weather_protocol"),
    ]


# --- hostile contents -------------------------------------------------------------------------------------
@given(some.lists(some.binary(min_size=64, max_size=64), max_size=40), some.integers(0, (1 << 32) - 1))
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_a_ring_are_at_worst_counted(garbage: list[bytes], first: int):
    timeline = Timeline()
    caller, server = call(AT)
    events = timeline.feed(parse(frame(chunk("thief", *garbage, first=first), caller, server)))
    wx = {one["args"]["name"]: one["pid"] for one in of(events, "M") if one["name"] == "process_name"}["wx"]
    assert [one["dur"] for one in events if one["pid"] == wx and one["ph"] == "X"] == [pytest.approx(400)]
    document([*events, *timeline.unfinished()])


def test_what_a_flood_can_make_us_keep_is_bounded():
    timeline = Timeline()
    for turn in range(10):
        words = [{"thread": n + 1, "mailbox": n, "sequence": turn} for n in range(600)]
        records = [record(Kind.CALL, AT + n, **one) for n, one in enumerate(words)]
        events = timeline.feed(parse(frame(chunk("thief", *records, first=turn * 600))))
    assert len(timeline.unfinished()) <= OPEN_MAX + THREADS_MAX
    assert len({one["tid"] for one in events}) <= THREADS_MAX + 1


_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=6) | some.dictionaries(some.text(max_size=6), inner, max_size=6),
    max_leaves=12,
)
_MEMBERS = ["now", "server", "apps", "peers", "names", "events", "sched", "rings"]


@given(some.dictionaries(some.sampled_from(_MEMBERS), _JSON))
@settings(max_examples=200, deadline=None)
def test_what_is_no_frame_is_an_error(members: dict[str, Any]):
    try:
        made = parse({**frame(), **members})
    except KosError:
        return
    Timeline().feed(made)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ({"v": 2}, "version 2"),
        ({"rings": [["wx", 1, 65, 0, 0, ""]]}, "records of 65 bytes"),
        ({"rings": [["wx", 1, 64, 0, 0, "?"]]}, "not a frame"),
        ({"apps": {"x" * 300: 1}}, "at most 256 characters"),
        ({"peers": [[1 << 64, 0, 0, ""]]}, "at most 64 bits"),
        ({"names": ["x"] * 4097}, "at most 4096"),
    ],
)
def test_each_limit_of_a_frame_has_its_message(mistake: dict[str, Any], said: str):
    with pytest.raises(KosError, match=said):
        parse({**frame(), **mistake})


def test_a_frame_over_its_size_is_not_looked_at():
    with pytest.raises(KosError, match="the limit is"):
        load(b" " * (FRAME_MAX + 1))
