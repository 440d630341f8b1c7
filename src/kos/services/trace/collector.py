"""Reads the rings of all traced apps in turn and makes frames. No transport: the caller sends them.

A ring's contents are its app's own and go on as they are. What an app floods its ring with costs only its own
records: each ring has its share of a frame.
"""

from __future__ import annotations

import base64
import mmap
import os
import sys
from collections import deque

from kos.abi.trace import FRAME_VERSION, PEERS_MAX, Peer, peers
from kos.app import Status, StatusError

HISTORY = 256  # records of each app from before the watch began
FRAME_BYTES = 32 * 1024  # of records in one frame, which as a line of JSON stays below 60 KiB
FRAME_RINGS = 64
FRAME_PEERS = 200
FRAME_NAMES = 200
FRAMES_MAX = 12  # of one turn
STATE_FRAMES_MAX = 4  # of those, that tell what is so instead of holding records
PEER_ANSWERS_MAX = 16  # of the message server in one turn
ENDED_MAX = 8  # rings of apps that were started again meanwhile and that nobody has read yet
EVENTS_KEPT = 256
RINGS_MAX = 1024


class Ring:
    """One start of a traced app."""

    __slots__ = ("app", "caller", "cursor", "memory", "number", "record_size")

    def __init__(self, number: int, caller: int, record_size: int, size: int, app: str, fd: int) -> None:
        self.number = number
        self.caller = caller
        self.record_size = record_size
        self.app = app
        self.cursor = 0
        try:
            if sys.version_info >= (3, 13):
                self.memory = mmap.mmap(fd, size, prot=mmap.PROT_READ, trackfd=False)
            else:
                self.memory = mmap.mmap(fd, size, prot=mmap.PROT_READ)
        finally:
            os.close(fd)


class Collector:
    """Everything that is known, and how much of it was told.

    Args:
        native: `kos.app._native`, or what stands for it in a test.
        server: the message server's name.
    """

    def __init__(self, native, server: str) -> None:
        self._native = native
        self._server = server
        self._rings: list[Ring] = []
        self._newest = 0
        self._peers: list[Peer] = []
        self._names: list[str] = []
        self._events: deque[list] = deque(maxlen=EVENTS_KEPT)
        self._new_peers: list[Peer] = []
        self._new_names: list[str] = []
        self._new_events: list[list] = []
        self._new_apps: dict[str, int] = {}
        self._sched: dict[str, list[int]] = {}

    # --- what is so ---------------------------------------------------------------------------------------
    def learn_names(self, names: list[str]) -> None:
        """Names of ports, which records carry as hashes."""
        self._names = self._new_names = sorted(set(names))

    def learn_event(self, event: list) -> None:
        """[nanoseconds, app, what, text]: something that the supervisor saw."""
        self._events.append(event)
        self._new_events.append(event)
        del self._new_events[:-EVENTS_KEPT]

    def learn_sched(self, apps: dict[str, list[int]]) -> None:
        self._sched = apps

    def status_of(self, app: str) -> tuple[int, int]:
        """How many records an app has written, and how many it left out: its own words."""
        self._find_rings()
        for ring in reversed(self._rings):
            if ring.app == app:
                return self._native.trace_counts(ring.memory, ring.record_size)
        return 0, 0

    def begin(self) -> None:
        """A watch begins, or one more: tell all that is so, and what happened just before."""
        self._find_rings()
        self._new_peers = list(self._peers)
        self._new_names = self._names
        self._new_events = list(self._events)
        self._new_apps = {ring.app: ring.caller for ring in self._rings}
        for ring in self._rings:
            head = self._head(ring)
            # Who watches already knows these records by their numbers; what it has not read yet stays.
            if (head - ring.cursor) & 0xFFFFFFFF < HISTORY:
                ring.cursor = max(0, head - HISTORY)

    def skip_to_now(self) -> None:
        """Nobody watched: of what is in the rings only the newest is of interest."""
        self._find_rings()
        for ring in self._rings:
            head = self._head(ring)
            # An app that wrote less begins at 0; numbers wrap, and where one did, all of it is history.
            ring.cursor = max(0, head - HISTORY)

    # --- a turn -------------------------------------------------------------------------------------------
    def turn(self, now: int) -> list[dict]:
        """What is new, as frames; `now` is nanoseconds of the monotonic clock."""
        self._find_rings()
        records = []
        while len(records) < FRAMES_MAX - STATE_FRAMES_MAX and (rings := self._chunks()):
            records.append(self._frame(now) | {"rings": rings})
        # Asked for after its records were read, told before them: no mailbox is younger than its messages.
        self._find_peers()
        state = []
        while len(state) < STATE_FRAMES_MAX and (told := self._state()):
            state.append(self._frame(now) | told)
        return state + records

    def _frame(self, now: int) -> dict:
        return {"v": FRAME_VERSION, "now": now, "server": self._server}

    def _state(self) -> dict:
        frame: dict = {}
        if self._new_apps:
            frame["apps"], self._new_apps = self._new_apps, {}
        for name, limit in (("peers", FRAME_PEERS), ("names", FRAME_NAMES), ("events", FRAME_NAMES)):
            new = getattr(self, f"_new_{name}")
            if new:
                frame[name] = new[:limit]
                setattr(self, f"_new_{name}", new[limit:])
        if self._sched:
            frame["sched"], self._sched = self._sched, {}
        return frame

    def _chunks(self) -> list[list]:
        """The next records of each ring, the one that was first the last time now being last."""
        self._rings.append(self._rings.pop(0)) if self._rings else None
        left, chunks = FRAME_BYTES, []
        for place, ring in enumerate(self._rings):
            share = left // (len(self._rings) - place)
            first, data = self._native.trace_read(ring.memory, ring.record_size, ring.cursor, share)
            if data:
                ring.cursor = (first + len(data) // ring.record_size) & 0xFFFFFFFF
                _head, dropped = self._native.trace_counts(ring.memory, ring.record_size)
                text = base64.b64encode(data).decode()
                chunks.append([ring.app, ring.number, ring.record_size, first, dropped, text])
                left -= len(data)
                if len(chunks) == FRAME_RINGS:
                    break
        return chunks

    def _find_rings(self) -> None:
        while len(self._rings) < RINGS_MAX:
            try:
                found = self._native.trace_next(self._newest)
            except StatusError as error:
                if error.status is not Status.NO_REPLY:
                    raise
                break
            self._newest, caller, *_sizes, app, _fd = found
            self._new_apps[app] = caller
            try:
                self._rings.append(Ring(*found))
            except OSError as problem:
                print(f"warn  {app} is not traced: {problem}")
        self._drop_ended()

    def _find_peers(self) -> None:
        for _ in range(PEER_ANSWERS_MAX):
            newest = self._peers[-1].mailbox if self._peers else 0
            found = list(peers(self._native.trace_peers(newest)))
            if not found:
                break
            self._peers += found
            self._new_peers += found
        del self._peers[:-PEERS_MAX]
        del self._new_peers[:-PEERS_MAX]

    def _drop_ended(self) -> None:
        """Rings of earlier starts go once all that they hold was read; of the others the newest stay."""
        latest = {ring.app: ring.number for ring in sorted(self._rings, key=lambda ring: ring.number)}
        earlier = [ring for ring in self._rings if latest[ring.app] != ring.number]
        unread = [ring for ring in earlier if ring.cursor != self._head(ring)]
        kept = sorted(unread, key=lambda ring: ring.number)[-ENDED_MAX:]
        for ring in earlier:
            if ring not in kept:
                self._rings.remove(ring)
                ring.memory.close()

    def _head(self, ring: Ring) -> int:
        return self._native.trace_counts(ring.memory, ring.record_size)[0]
