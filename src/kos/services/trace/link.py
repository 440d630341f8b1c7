"""The trace server's second thread: speaks with the supervisor, does the turns while somebody watches."""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
import time

from kos.services.admin.supervisor import SupervisorLink
from kos.services.trace.collector import Collector
from kos.services.trace.watchers import Watchers

TURN = 0.1  # seconds between two looks at the rings
SCHED = 0.25  # seconds between two samples of how long apps ran
WAITING_MAX = 16  # frames that the supervisor has not taken; then records stay in their rings
STATES = ("app", "ended", "refused", "violation", "late")  # events that go into the trace


class Link:
    """Runs in a thread of its own; `lock` guards the collector, which the ports' thread asks too."""

    def __init__(self, supervisor: socket.socket, collector: Collector, lock: threading.Lock) -> None:
        self.watchers = Watchers(self._begins, time.monotonic)
        self._collector = collector
        self._lock = lock
        self._supervisor = SupervisorLink(supervisor, _ignore, self._on_event, self._on_trace)
        self._supervisor_watches = False
        self._watched = False
        self._start = 0
        self._sampled_at = 0.0
        self._turn_at = 0.0
        self._wake, self._write = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._write, False)

    def run(self) -> None:
        """Until the supervisor is gone, which raises KosError."""
        ask = self._supervisor.request
        ask("trace_provide", self._on_provide)
        ask("events", _ignore)
        ask("graph", self._on_graph)
        with selectors.DefaultSelector() as selector:
            connection = self._supervisor.connection
            selector.register(connection, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                for key, mask in selector.select(self._pause()):
                    if key.fileobj is not connection:
                        _drain(self._wake)
                    elif mask & selectors.EVENT_READ:
                        self._supervisor.read()
                self._supervisor.flush()
                wanted = selectors.EVENT_READ | (
                    selectors.EVENT_WRITE if self._supervisor.wants_to_write else 0
                )
                selector.modify(connection, wanted)
                self._look()

    def _pause(self) -> float | None:
        """Seconds until there is something to do by itself."""
        return max(0.0, self._turn_at - time.monotonic()) if self._watched else None

    def _begins(self) -> None:
        """In the ports' thread: somebody began to watch."""
        with self._lock:
            self._collector.begin()
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # it is awake

    # --- turns --------------------------------------------------------------------------------------------
    def _look(self) -> None:
        watched = self._supervisor_watches or self.watchers.any()
        if watched and not self._watched:
            with self._lock:
                self._collector.skip_to_now()
        self._watched = watched
        now = time.monotonic()
        if not watched or now < self._turn_at:
            return
        self._turn_at = now + TURN
        if self._supervisor.waiting > WAITING_MAX:
            return
        if now - self._sampled_at >= SCHED:
            self._sampled_at = now
            self._supervisor.request("sched", self._on_sched)
        with self._lock:
            frames = self._collector.turn(time.monotonic_ns())
        for frame in frames:
            if self._supervisor_watches:
                self._supervisor.request("trace_frame", _ignore, frame=frame)
            self.watchers.give(json.dumps(frame, separators=(",", ":")).encode() + b"\n")

    # --- what the supervisor says -------------------------------------------------------------------------
    def _on_trace(self, what) -> None:
        self._supervisor_watches = what == "on"
        if self._supervisor_watches:
            with self._lock:
                self._collector.begin()

    def _on_provide(self, answer: dict) -> None:
        self._start = answer["start"]

    def _on_graph(self, answer: dict) -> None:
        edges = answer["graph"]["edges"]
        with self._lock:
            self._collector.learn_names(
                [name for edge in edges for name in (edge["port"], edge["msg_server"])]
            )

    def _on_sched(self, answer: dict) -> None:
        with self._lock:
            self._collector.learn_sched(answer["apps"])

    def _on_event(self, event: dict) -> None:
        kind = event["event"]
        if kind in STATES:
            what = event.get("state", kind)
            if what == "running" and event.get("ready"):
                what = "ready"
            text = event.get("text") or event.get("port") or ""
            time_ns = self._start + int(event["time"] * 1e9)
            with self._lock:
                self._collector.learn_event(
                    [time_ns, event.get("app") or event.get("name"), what, text[:200]]
                )


def _drain(descriptor: int) -> None:
    try:
        os.read(descriptor, 4096)
    except BlockingIOError:
        return


def _ignore(_answer) -> None:
    """Nothing to do with it."""
