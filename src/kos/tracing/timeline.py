"""Frames in, time-line events out, in Chrome's trace-event format, which Perfetto opens.

The format is that of the document "Trace Event Format" (Chromium project): an app is a process, a thread a
thread, `ts` and `dur` are microseconds, here of the device's monotonic clock.

Records are their apps' own words. Two ends of a message are joined only where the message server says that
these two apps are at the ends of that mailbox, so an app that lies does so on its own track. All state is
bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from kos.abi.status import Status
from kos.abi.trace import Flag, Kind, Peer, Record, name_hash
from kos.abi.trace_frame import Chunk, Frame
from kos.tracing.schedule import Schedule

Event = dict[str, Any]
Track = tuple[int, int]  # process and thread of the time line

HISTORY = 10_000_000_000  # nanoseconds before the first frame from which records are still shown
AHEAD_MAX = 1_000_000_000  # nanoseconds that a record may be ahead of its frame
THREADS_MAX = 64  # of one app that have a track of their own
OPEN_MAX = 4096  # beginnings that wait for their end, and messages that wait for their other side
POINT = 0.2  # microseconds that what has no length is drawn with, so that an arrow can begin there
_ENDS = {
    Kind.CALL_END: Kind.CALL,
    Kind.REPLY: Kind.RECEIVE,
    Kind.WAKE: Kind.SLEEP,
    Kind.REQUEST_END: Kind.REQUEST,
}
_CATEGORIES = {
    Kind.CALL: "call",
    Kind.SEND: "send",
    Kind.QUEUE: "send",
    Kind.RECEIVE: "serve",
    Kind.SLEEP: "wait",
    Kind.REQUEST: "connect",
}
_STATUSES = {int(status): status.name for status in Status}
_KINDS = {int(kind): kind for kind in Kind}


class Timeline:
    """Joins frames, in the order in which they came.

    Attributes:
        lost: records of each app that were overwritten or left out before they could be read.
        invalid: records of each app that make no sense.
    """

    def __init__(self) -> None:
        self.lost: dict[str, int] = {}
        self.invalid: dict[str, int] = {}
        self._since: int | None = None
        self._ids: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._peers: dict[tuple[int, int], Peer] = {}
        self._next: dict[tuple[str, int], tuple[int, int]] = {}  # of a ring: number, records left out
        self._processes: dict[str, int] = {}
        self._threads: dict[str, dict[int, int]] = {}
        self._open: dict[str, OrderedDict[tuple[Any, ...], Record]] = {}
        self._ended: dict[str, int] = {}  # when an app ended last
        self._sides: OrderedDict[tuple[Any, ...], tuple[Track, float, str]] = OrderedDict()
        self._flow = 0
        self._schedule = Schedule()

    def feed(self, frame: Frame) -> list[Event]:
        """What the frame adds to the time line."""
        if self._since is None:
            self._since = frame.now - HISTORY
        server = name_hash(frame.server)
        self._names |= {name_hash(name): name for name in (*frame.names, frame.server)}
        self._ids |= {number: app for app, number in frame.apps.items()}
        self._peers |= {(server, peer.mailbox): peer for peer in frame.peers}
        _trim(self._peers, 4 * OPEN_MAX)
        events: list[Event] = []
        for at, app, what, text in frame.events:
            if self._since <= at <= frame.now + AHEAD_MAX:
                events += self._state(app, at, what, text)
        for chunk in frame.chunks:
            events += self._chunk(chunk, frame.now)
        for app, name, at, value in self._schedule.feed(frame.now, frame.sched):
            events += self._process(app)
            events.append(
                {"ph": "C", "name": name, "pid": self._processes[app], "ts": at / 1000, "args": {name: value}}
            )
        return events

    def unfinished(self, limit: int = OPEN_MAX) -> list[Event]:
        """What began and has not ended, other than with its app: calls without an answer, above all.

        Of each app the newest `limit`.
        """
        return [
            event
            for app, begun in self._open.items()
            for record in islice(reversed(begun.values()), limit)
            if record.time > self._ended.get(app, 0)
            for event in self._slice(app, record, None)
        ]

    # --- records ------------------------------------------------------------------------------------------
    def _chunk(self, chunk: Chunk, now: int) -> Iterator[Event]:
        ring = (chunk.app, chunk.ring)
        expected, left_out = self._next.get(ring, (chunk.first, chunk.dropped))
        gap = (chunk.first - expected & 0xFFFFFFFF) if ring in self._next else 0
        if gap >= 1 << 31:  # a watch that began anew tells some records again
            seen = min((1 << 32) - gap, len(chunk.records))
            chunk = replace(chunk, first=expected, records=chunk.records[seen:])
            gap = 0
        lost = gap + (chunk.dropped - left_out & 0xFFFFFFFF)
        if lost:
            self.lost[chunk.app] = self.lost.get(chunk.app, 0) + lost
        self._next[ring] = (chunk.first + len(chunk.records) & 0xFFFFFFFF, chunk.dropped)
        _trim(self._next, OPEN_MAX)
        yield from self._process(chunk.app)
        if lost and chunk.records:
            at = chunk.records[0].time / 1000
            if at * 1000 <= now + AHEAD_MAX:
                yield self._instant(
                    (self._processes[chunk.app], 0), f"{lost} records lost", at, "p", {"lost": lost}
                )
        for record in chunk.records:
            kind = _KINDS.get(record.kind)
            if kind is None or record.time > now + AHEAD_MAX:
                self.invalid[chunk.app] = self.invalid.get(chunk.app, 0) + 1
            elif self._since is not None and record.time >= self._since:
                yield from self._record(chunk.app, kind, record)
            else:
                yield from self._keep(chunk.app, kind, record)

    def _record(self, app: str, kind: Kind, record: Record) -> Iterator[Event]:
        begun = self._open.setdefault(app, OrderedDict())
        if _begins(kind, record):
            yield from self._keep(app, kind, record)
            yield from self._side(app, kind, record)
        elif kind in _ENDS:
            first = begun.pop(_place(_ENDS[kind], record), None)
            if first is not None and first.time <= record.time:
                yield from self._slice(app, first, record)
            yield from self._side(app, kind, record)
        elif kind in _CATEGORIES:
            yield from self._slice(app, record, record)
            yield from self._side(app, kind, record)
        else:
            track = yield from self._track(app, record.thread)
            yield self._instant(
                track, self._title(kind, record), record.time / 1000, "t", self._details(record)
            )

    def _keep(self, app: str, kind: Kind, record: Record) -> Iterator[Event]:
        """Remember what goes on, and no more: it may have begun long before the first frame."""
        begun = self._open.setdefault(app, OrderedDict())
        if _begins(kind, record):
            yield from self._track(app, record.thread)
            begun[_place(kind, record)] = record
            if len(begun) > OPEN_MAX:
                begun.popitem(last=False)
        elif kind in _ENDS:
            begun.pop(_place(_ENDS[kind], record), None)

    def _slice(self, app: str, first: Record, last: Record | None) -> Iterator[Event]:
        kind = _KINDS[first.kind]
        track = yield from self._track(app, first.thread)
        event: Event = {
            "ph": "B" if last is None else "X",
            "name": self._title(kind, first),
            "cat": _CATEGORIES[kind],
            "pid": track[0],
            "tid": track[1],
            "ts": first.time / 1000,
            "args": self._details(first),
        }
        if last is not None:
            event["dur"] = max((last.time - first.time) / 1000, POINT)
            if kind is not Kind.SLEEP and last is not first:
                event["args"] |= self._outcome(kind, last)
        yield event

    def _outcome(self, kind: Kind, last: Record) -> dict[str, Any]:
        """What the end adds: a call's reply, a served message's answer."""
        if kind is Kind.RECEIVE:
            return {
                "answer": _status(last.label),
                "answer_size": last.size,
                **_payload("answer_payload", last),
            }
        outcome: dict[str, Any] = {"status": _status(last.status)}
        if kind is Kind.CALL and last.status == Status.OK:
            outcome |= {"answer": _status(last.label), "answer_size": last.size}
            outcome |= _payload("answer_payload", last)
        return outcome

    # --- the two sides of a message -----------------------------------------------------------------------
    def _side(self, app: str, kind: Kind, record: Record) -> Iterator[Event]:
        """Join this end of a message with the other, where the message server confirms both."""
        peer = self._peers.get((record.server, record.mailbox))
        if peer is None or record.flags & Flag.REQUEST or kind in (Kind.SLEEP, Kind.WAKE):
            return
        holder_side = kind in (Kind.CALL, Kind.SEND, Kind.QUEUE, Kind.CALL_END)
        if self._ids.get(peer.holder if holder_side else peer.owner) != app:
            return
        back = kind in (Kind.REPLY, Kind.CALL_END)
        key = (record.server, record.mailbox, record.sequence, record.flags & Flag.QUEUED, back)
        track = yield from self._track(app, record.thread)
        here = (track, record.time / 1000, app)
        other = self._sides.pop((*key, not holder_side), None)
        if other is None:
            self._sides[(*key, holder_side)] = here
            if len(self._sides) > OPEN_MAX:
                self._sides.popitem(last=False)
            return
        # A message begins at its holder, an answer at its owner.
        begin, end = (here, other) if holder_side != back else (other, here)
        if end[1] < begin[1]:
            return
        self._flow += 1
        for phase, (place, at, _app) in (("s", begin), ("f", end)):
            flow = {"ph": phase, "name": "answer" if back else "message", "cat": "flow", "id": self._flow}
            flow |= {"pid": place[0], "tid": place[1], "ts": at}
            yield flow | ({"bp": "e"} if phase == "f" else {})

    # --- names --------------------------------------------------------------------------------------------
    def _process(self, app: str) -> Iterator[Event]:
        if app not in self._processes:
            number = self._processes[app] = len(self._processes) + 1
            yield {"ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": {"name": app}}

    def _track(self, app: str, thread: int) -> Any:
        """The track of a thread; a generator of what introduces it, whose value is the track."""
        yield from self._process(app)
        threads = self._threads.setdefault(app, {})
        if thread not in threads:
            if len(threads) >= THREADS_MAX:
                return self._processes[app], 0
            threads[thread] = len(threads) + 1
            name = {"name": f"thread {thread}"}
            place = {"pid": self._processes[app], "tid": threads[thread]}
            yield {"ph": "M", "name": "thread_name", **place, "args": name}
        return self._processes[app], threads[thread]

    def _state(self, app: str, at: int, what: str, text: str) -> Iterator[Event]:
        yield from self._process(app)
        if what == "ended":
            self._ended[app] = at
            _trim(self._ended, OPEN_MAX)
        args = {"text": text} if text else {}
        yield self._instant((self._processes[app], 0), what, at / 1000, "p", args) | {"cat": "state"}

    @staticmethod
    def _instant(track: Track, name: str, at: float, scope: str, args: dict[str, Any]) -> Event:
        return {"ph": "i", "name": name, "pid": track[0], "tid": track[1], "ts": at, "s": scope, "args": args}

    def _port(self, record: Record) -> str:
        peer = self._peers.get((record.server, record.mailbox))
        return "" if peer is None or record.flags & Flag.REQUEST else peer.port

    def _title(self, kind: Kind, record: Record) -> str:
        match kind:
            case Kind.SLEEP:
                return "sleep"
            case Kind.REQUEST | Kind.BIND:
                word = "connect" if kind is Kind.REQUEST else "bind"
                return f"{word} {self._names.get(record.label, hex(record.label))}"
            case Kind.RECEIVE if record.flags & Flag.REQUEST:
                return f"connection for {self._app_of(record.caller)}"
            case Kind.RECEIVE:
                return f"serve {self._port(record) or self._app_of(record.caller)} {_number(record.label)}"
            case Kind.CALL | Kind.SEND | Kind.QUEUE:
                return f"{kind.name.lower()} {self._port(record) or 'token'} {_number(record.label)}"
            case Kind.MARK:
                return f"mark {_number(record.label)}"
            case Kind.CREATE | Kind.REVOKE:
                return f"{kind.name.lower()} token {_number(record.badge)}"
        return kind.name.lower()

    def _app_of(self, caller: int) -> str:
        return self._ids.get(caller, f"app {caller:#x}")

    def _details(self, record: Record) -> dict[str, Any]:
        """What a reader may want to know of a record; nothing that is not there."""
        details: dict[str, Any] = {"label": _number(record.label), "param": _number(record.param)}
        words = {"badge": record.badge, "slot": record.slot, "size": record.size, "mailbox": record.mailbox}
        details |= {name: _number(word) for name, word in words.items() if word}
        if record.sequence:
            details["sequence"] = record.sequence
        if port := self._port(record):
            details["port"] = port
        peer = self._peers.get((record.server, record.mailbox))
        if record.caller:
            details["from"] = self._app_of(record.caller)
        elif peer is not None and not record.flags & Flag.REQUEST:
            details["to"] = self._app_of(peer.owner)
        if record.status and record.kind not in (Kind.CALL, Kind.RECEIVE):
            details["status"] = _status(record.status)
        details["processor"] = record.cpu - 1
        return details | _payload("payload", record)


def _begins(kind: Kind, record: Record) -> bool:
    """Whether another record says when this ended."""
    return kind in (Kind.CALL, Kind.SLEEP, Kind.REQUEST) or (
        kind is Kind.RECEIVE and not record.flags & Flag.ONE_WAY
    )


def _place(kind: Kind, record: Record) -> tuple[Any, ...]:
    """What a beginning and its end have in common."""
    if kind in (Kind.CALL, Kind.RECEIVE):
        return (
            kind,
            record.server,
            record.mailbox,
            record.sequence,
            record.flags & (Flag.QUEUED | Flag.REQUEST),
        )
    return kind, record.thread


def _number(word: int) -> int | str:
    """A number that every JSON reader keeps exact."""
    return word if word < 1 << 53 else hex(word)


def _status(code: int) -> str:
    return _STATUSES.get(code, str(_number(code)))


def _payload(name: str, record: Record) -> dict[str, str]:
    if not record.payload:
        return {}
    text = record.payload.decode("latin-1")
    return {name: "".join(letter if letter.isprintable() and letter < "\x7f" else "·" for letter in text)}


def _trim(table: dict[Any, Any], limit: int) -> None:
    while len(table) > limit:
        del table[next(iter(table))]


def document(events: Iterable[Event]) -> dict[str, Any]:
    """The whole file, as Perfetto and chrome://tracing open it."""
    return {"displayTimeUnit": "ns", "traceEvents": list(events)}
