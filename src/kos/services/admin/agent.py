"""The admin app's one loop: the server's connection, the supervisor's connection, timers. One thread.

Slow work (downloads) runs in `updates`' own thread and hands its results over through a pipe.
"""

from __future__ import annotations

import secrets
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kos.abi.errors import KosError
from kos.abi.session import (
    METHOD_GRAPH,
    METHOD_RESTART,
    METHOD_STREAM_LIST,
    METHOD_STREAM_OPEN,
    METHOD_TRACE_START,
    METHOD_TRACE_STOP,
    STREAM_TRACE,
    UP_CONSOLE,
    UP_EVENT,
    Desired,
    Event,
    Reply,
    Request,
)
from kos.services.admin.backoff import Backoff
from kos.services.admin.console import ConsoleBuffer
from kos.services.admin.door import Door
from kos.services.admin.identity import Identity
from kos.services.admin.session import CLOSED, JOINED, Session, StreamFrame
from kos.services.admin.state import DeviceState, clock_ms
from kos.services.admin.streams import StreamRelay
from kos.services.admin.supervisor import SupervisorLink
from kos.services.admin.trace import TracePort, TraceRelay
from kos.services.admin.updates import Updates

READ_SIZE = 64 * 1024
STATUS_AFTER = 0.1  # seconds after an event
UNSENT_MAX = 4 << 20  # bytes that the server may leave unread
UNSENT_STREAM_MAX = 512 * 1024  # over which no stream is added to them
EARLIER_MAX = 16  # crashes from before we were started that the server is told
EVENT_KINDS = ("refused", "violation", "degraded", "late", "crashed")

Connect = Callable[[], socket.socket]


class Agent:
    """A device that is managed.

    Args:
        identity: the server key.
        connect: a connected socket to the server, made anew for each try.
        supervisor: connected to the supervisor.
        state: what is known before the first status.
        updates: carries out what the server wants.
        door: where the updates get their way to the upgrade engine.
        say: tells the console.
        trace_port: where the trace comes from; None where it comes from the supervisor.
    """

    def __init__(
        self,
        identity: Identity,
        connect: Connect,
        supervisor: socket.socket,
        state: DeviceState,
        updates: Updates,
        door: Door,
        say: Callable[[str], None],
        trace_port: TracePort | None = None,
    ) -> None:
        self._connect = connect
        self._say = say
        self.state = state
        self.updates = updates
        self._door = door
        self.session = Session(
            identity.public_key, identity.sign, state.hello, state.report, secrets.token_hex(6)
        )
        self._selector = selectors.DefaultSelector()
        self._console = ConsoleBuffer()
        self.supervisor = SupervisorLink(
            supervisor,
            self._on_line,
            self._on_event,
            on_stream=self._on_stream,
            on_trace=self._on_trace,
        )
        self.streams = StreamRelay(self.supervisor, self.session.send_stream)
        self._trace = TraceRelay(self.supervisor, trace_port, self._send_trace)
        self._socket: socket.socket | None = None
        self._unsent = bytearray()
        self._backoff = Backoff()
        self._next_try = float("inf")  # until the first status: a server should not hear half of it
        self._next_status = 0.0
        self._stopped = False

    def run(self) -> None:
        """Until `stop`, or until the supervisor is gone, which raises KosError."""
        self._selector.register(self.supervisor.connection, selectors.EVENT_READ, self._on_supervisor)
        self._selector.register(self.updates.wake, selectors.EVENT_READ, self._on_update)
        self._selector.register(
            self._door.wake, selectors.EVENT_READ, lambda _mask: self._door.serve(self.supervisor)
        )
        self.updates.start()
        self.supervisor.request("events", _ignore)
        self.supervisor.request("console", _ignore, history=True)
        self.supervisor.request("post_mortem", self._on_records)
        while not self._stopped:
            for key, mask in self._selector.select(max(0.0, self._deadline() - time.monotonic())):
                key.data(mask)
            self._turn(time.monotonic())
            self._watch_supervisor()

    def stop(self) -> None:
        self._stopped = True

    # --- time ---------------------------------------------------------------------------------------------
    def _deadline(self) -> float:
        times = [self._next_status]
        if self._socket is None:
            times.append(self._next_try)
        else:
            times += (self.session.deadline(), self.streams.deadline())
            if self.session.state == JOINED:
                times += [self._console.due(), self._trace.due()]
        return min(times)

    def _turn(self, now: float) -> None:
        if now >= self._next_status:
            self._next_status = now + self.state.settings.status_every
            self.supervisor.request("status", self._on_status)
        if self._socket is None:
            if now >= self._next_try:
                self._open(now)
            return
        self.streams.tick(now)
        try:
            self.session.tick(now)
        except KosError as error:
            self._close(now, error.message)
            return
        while self.session.state == JOINED and now >= self._console.due():
            lines = self._console.take(self.state.boot)
            if self.state.settings.console:
                self.session.send(UP_CONSOLE, lines, now)
        self._trace.turn(now)
        self._flush(now)

    # --- the server's connection --------------------------------------------------------------------------
    def _open(self, now: float) -> None:
        self._next_try = now + self._backoff.wait()
        try:
            self._socket = self._connect()
        except (OSError, KosError) as error:
            self._say(f"no connection to the server: {error}; next try in {self._next_try - now:.1f} s")
            return
        self._socket.setblocking(False)
        self._unsent.clear()
        self._selector.register(self._socket, selectors.EVENT_READ, self._on_server)
        self.session.opened(now)

    def _close(self, now: float, reason: str) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
        self._trace.stop()
        if self.session.state != CLOSED:
            self.session.closed()
            self.supervisor.request("server", _ignore, connected=False)
            self.streams.lost()
            self._next_try = now + self._backoff.wait()
            self._say(f"connection lost: {reason}; next try in {self._next_try - now:.1f} s")

    def _on_server(self, mask: int) -> None:
        assert self._socket is not None
        now = time.monotonic()
        if mask & selectors.EVENT_WRITE:
            self._flush(now)
        if not mask & selectors.EVENT_READ or self._socket is None:
            return
        try:
            data = self._socket.recv(READ_SIZE)
            if not data:
                self._close(now, self.session.reason or "the server closed it")
                return
            before = self.session.state
            for event in self.session.receive(data, now):
                match event:
                    case Desired():
                        self._on_desired(event, before)
                    case Request():
                        self._on_request(event)
                    case StreamFrame():
                        self.streams.from_server(event.stream, event.data, now)
        except BlockingIOError:
            return
        except (OSError, KosError) as error:
            self._close(now, str(error))

    def _flush(self, now: float) -> None:
        if self._socket is None:
            return
        self._unsent += self.session.take_output()
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            if len(self._unsent) > UNSENT_MAX:
                self._close(now, "the server does not read")
                return
        except OSError as error:
            self._close(now, str(error))
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        if self._selector.get_key(self._socket).events != wanted:
            self._selector.modify(self._socket, wanted, self._on_server)

    def _on_desired(self, desired: Desired, before: str) -> None:
        self._backoff.reset()
        self.supervisor.request("server", _ignore, connected=True)
        if not desired.accepted:
            self._say("connected; waits until somebody accepts this device")
            return
        if before != JOINED:
            self._say("connected to the server")
        self.state.take_settings(desired.settings)
        self.updates.want(desired)

    def _on_request(self, request: Request) -> None:
        def answer(found: dict[str, Any]) -> None:
            if found["ok"]:
                members = {key: value for key, value in found.items() if key != "ok"}
                self.session.reply(request, Reply(request.id, True, members))
            else:
                error = found["error"]
                self.session.reply(
                    request, Reply(request.id, False, {}, error["message"], error.get("hint") or "")
                )

        match request.method:
            case method if method == METHOD_RESTART:
                self.supervisor.request("restart", answer, app=str(request.params.get("app", "")))
            case method if method == METHOD_GRAPH:
                self.supervisor.request("graph", answer)
            case method if method == METHOD_STREAM_LIST:
                self.supervisor.request("stream.list", answer)
            case method if method == METHOD_STREAM_OPEN:
                self.streams.open(request.params, time.monotonic(), answer)
            case method if method == METHOD_TRACE_START:
                self._trace.start(request.params, time.monotonic(), answer)
            case method if method == METHOD_TRACE_STOP:
                self._trace.stop()
                answer({"ok": True})
            case method:
                hint = "a newer release of the system may know it"
                self.session.reply(
                    request, Reply(request.id, False, {}, f"this device knows no {method}", hint)
                )

    # --- the supervisor's connection ----------------------------------------------------------------------
    def _on_supervisor(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self.supervisor.flush()
        if mask & selectors.EVENT_READ:
            self.supervisor.read()

    def _watch_supervisor(self) -> None:
        """Wait for room where an order of ours is not away yet."""
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.supervisor.wants_to_write else 0)
        if self._selector.get_key(self.supervisor.connection).events != wanted:
            self._selector.modify(self.supervisor.connection, wanted, self._on_supervisor)

    def _on_status(self, answer: dict[str, Any]) -> None:
        now = time.monotonic()
        if answer["ok"] and self.state.take_status(answer):
            self.session.changed(now)
        if self._next_try == float("inf"):
            self._next_try = now

    def _on_line(self, line: str) -> None:
        self._console.add(line, time.monotonic())

    def _on_stream(self, value: dict[str, Any]) -> None:
        self.streams.from_supervisor(value)

    def _on_event(self, event: dict[str, Any]) -> None:
        now = time.monotonic()
        self._next_status = min(self._next_status, now + STATUS_AFTER)
        kind = event["event"]
        if kind in EVENT_KINDS:
            text = event.get("text") or event.get("port") or event.get("name") or ""
            app = event.get("app") or event.get("name") or ""
            self._tell(Event(kind, app, str(text), clock_ms(), event.get("record", {})))

    def _on_records(self, answer: dict[str, Any]) -> None:
        """Crashes from before we listened, of the last start too. The server leaves out those it has."""
        for record in answer.get("records", [])[-EARLIER_MAX:]:
            self._tell(Event("crashed", record["app"], record["reason"], clock_ms(), record))

    def _tell(self, document: Event) -> None:
        try:
            data = document.to_bytes()
        except KosError:  # an app's last words can be longer in JSON than a document may be
            data = replace(document, detail={}).to_bytes()
        self.session.send(UP_EVENT, data, time.monotonic())

    def _on_trace(self, frame: Any) -> None:
        self._trace.take(frame)

    def _send_trace(self, document: bytes) -> None:
        if len(self._unsent) <= UNSENT_STREAM_MAX:
            self.session.send_stream(STREAM_TRACE, document)

    # --- updates ------------------------------------------------------------------------------------------
    def _on_update(self, _mask: int) -> None:
        update = self.updates.take()
        if update is not None:
            self.state.update = update
        self.state.take_facts(self.updates.facts)
        now = time.monotonic()
        self._next_status = now
        self.session.changed(now)


def _ignore(_answer: dict[str, Any]) -> None:
    """The answer to a request for a stream says nothing new."""
