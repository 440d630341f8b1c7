"""One supervised process and its life: start, ready, fail, pause, start again. Apps and message servers are
both.

A unit decides about itself only. What its state means for others is the supervisor's business (`Host`).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import select
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from kos.abi.debug import THREADS
from kos.abi.errors import KosError
from kos.abi.hints import TYPE_CHECKING, Any, Protocol
from kos.abi.stream import CONSOLE, GDB, SHELL
from kos.device import tracing
from kos.device.cells import Place, app_cell, server_cell, wanted_limits
from kos.device.console.lines import LineAssembler
from kos.device.console.log import Console
from kos.device.debug.far import ChannelFar, Far
from kos.device.debug.grants import granted
from kos.device.debug.postmortem import LINES_KEPT
from kos.device.limits import Wanted
from kos.device.loop import Loop, Timer
from kos.device.network.client import Join
from kos.device.network.system import SystemNetwork
from kos.device.process import End, Process
from kos.device.restart import RestartDecision
from kos.device.sandbox import Cell
from kos.device.storage import usage
from kos.manifest.images import ServiceImage
from kos.manifest.model import App, Manifest, Restart
from kos.manifest.resources import Supervisor as SupervisorResource

if TYPE_CHECKING:
    from kos.device.debug.gdb import GdbFar

STOP_SECONDS = 2.0  # from SIGTERM to SIGKILL
READY_SECONDS = 10.0  # an app that is not ready by then is reported, and those who wait for it go on
STORAGE_SECONDS = 1.0  # between two looks at how much an app keeps in /data
FLOOD_PAUSE = 0.05  # seconds for which a flooding app's output is left unread
ADMIN_PACKET_MAX = 256 << 10
SERVER_RESTART = Restart(policy="always", backoff_initial=0.05, backoff_max=5.0)

WAITING, RUNNING, PAUSED, STOPPED, FAILED = "waiting", "running", "paused", "stopped", "failed"


class Host(Protocol):
    """What a unit needs of the supervisor."""

    loop: Loop
    console: Console
    place: Place
    manifest: Manifest
    network: SystemNetwork
    stopping: bool

    def changed(self, unit: Unit) -> None: ...

    def event(self, kind: str, **details: Any) -> None: ...

    def supervisor_connection(self, app: str, streams: bool) -> socket.socket: ...

    def app_ended(self, app: str, end: End) -> None: ...

    def failed(self, unit: Unit, end: End, lines: Sequence[str]) -> None: ...


class Unit:
    """A process that is started again by a rule."""

    what = "unit"

    def __init__(self, host: Host, name: str, rule: Restart) -> None:
        self.name = name
        self.group = name  # of limits
        self.state = WAITING
        self.ready = False
        self.restarts = 0
        self.last_end = ""
        self.violations = 0  # ends by a system call that it may not make
        self.started_at = 0.0
        self.process: Process | None = None
        self._host = host
        self._decision = RestartDecision(rule)
        self._again = False  # somebody wants it started once it has ended
        self.ending = False
        self._output: LineAssembler | None = None
        self._last_lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._timers: list[Timer] = []

    # --- orders -------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Start it now; an error counts as an end."""
        self.ready = self._again = self.ending = False
        self.state = RUNNING
        self.started_at = time.monotonic()
        self._last_lines.clear()
        self._output = self._host.console.assembler(self.name, self._last_lines.append)
        place = self._host.place
        with contextlib.ExitStack() as passed, contextlib.ExitStack() as undo:
            try:
                join = self._join()
                if join is not None:
                    passed.callback(join.close)
                cell = self._cell(joined=join is not None)
                group = place.mechanism.group(self.group, self._wanted())
                undo.callback(group.close)
                process = Process(self._host.loop, cell, group, self)
                descriptors = [passed.enter_context(each).fileno() for each in self._connections()]
                process.start(place.runtime, place.filters, descriptors, as_root=place.as_root, join=join)
                undo.pop_all()
                self.process = process
            except (KosError, OSError, ValueError, subprocess.SubprocessError) as error:
                undo.close()
                self.on_end(End(f"could not be started: {error}", failed=True))
                return
        self._host.changed(self)

    def stop(self) -> None:
        """Ask it to end; kill it when it does not."""
        if self.state == PAUSED or self.process is None:
            self._set_down(STOPPED)
        elif not self.ending:
            self.ending = True
            self._ask_to_end()
            self._later(STOP_SECONDS, self._outlived)

    def restart(self) -> None:
        """Stop it and start it again, whatever its rule says."""
        self._decision.forget()
        if self.process is None:
            self._cancel_timers()
            self.state = WAITING
            self._host.changed(self)
        else:
            self._again = True
            self.stop()

    def kill_and_wait(self, reason: str) -> None:
        """What it stood on is gone: end it now, and let it wait until it can be started again."""
        if self.process is not None:
            self._again = self.ending = True
            self._host.console.say(f"{self.name}: stopped, {reason}")
            self.process.kill()

    # --- what the process tells ---------------------------------------------------------------------------
    def on_output(self, data: bytes) -> None:
        assert self._output is not None
        self._output.feed(data)
        if self._output.flooding and self.process is not None:
            self.process.pause_output(FLOOD_PAUSE)

    def on_started(self) -> None:
        """It runs its own program now."""

    def on_refused_process(self) -> None:
        limit = self._wanted().processes
        self._host.console.say(f"{self.name}: wanted more than its {limit} processes and threads")
        self._host.event("processes", app=self.name, limit=limit)

    def on_end(self, end: End) -> None:
        self._cancel_timers()
        if self._output is not None:
            self._output.flush()
        self.process, self.ready = None, False
        self.last_end = end.text
        self._disconnected()
        asked = self.ending and end.violation is None
        if not asked:
            self._host.console.say(f"{self.name}: {end.text}")
            if end.failed:
                self._host.failed(self, end, tuple(self._last_lines))
        self._host.event("ended", app=self.name, text=end.text, failed=end.failed and not asked)
        if end.violation:
            self.violations += 1
            self._host.event("violation", app=self.name, text=end.text)
        if self._again and not self._host.stopping:
            self.restarts += 1
            self.state = WAITING
            self._host.changed(self)
        elif asked or self._host.stopping:
            self._set_down(STOPPED)
        else:
            self._decide(end)

    def _decide(self, end: End) -> None:
        now = time.monotonic()
        pause = self._decision.next_pause(now, failed=end.failed)
        if pause is not None:
            self.state = PAUSED
            self._later(pause, self._pause_over)
            self._host.changed(self)
        elif end.failed:
            if self._decision.exhausted(now):
                self._host.console.say(
                    f"{self.name}: failed too often, it stays down; the system is degraded"
                )
            else:
                self._host.console.say(f"{self.name}: failed and is not restarted; the system is degraded")
            self._set_down(FAILED)
        else:
            self._set_down(STOPPED)

    def _pause_over(self) -> None:
        self.restarts += 1
        self.state = WAITING
        self._host.changed(self)

    def _outlived(self) -> None:
        if self.process is not None:
            self._host.console.say(f"{self.name}: did not stop within {STOP_SECONDS:g} s and is killed")
            self._host.event("outlived", app=self.name)
            self.process.kill()

    def _set_down(self, state: str) -> None:
        self._cancel_timers()
        self.state = state
        self._host.changed(self)

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers = [timer for timer in self._timers if timer.pending]
        self._timers.append(self._host.loop.call_later(seconds, callback))

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # --- what differs between an app and a message server -------------------------------------------------
    def _cell(self, *, joined: bool) -> Cell:
        raise NotImplementedError

    def _join(self) -> Join | None:
        """The network that the process is started in; None for none."""
        return None

    def _wanted(self) -> Wanted:
        return Wanted()

    def _connections(self) -> list[socket.socket]:
        """Our ends' peers: descriptors 3, 4, … of the process."""
        return []

    def _ask_to_end(self) -> None:
        assert self.process is not None
        self.process.signal(signal.SIGTERM)

    def _disconnected(self) -> None:
        """The process is gone: let go of what joined us to it."""


class ServerUnit(Unit):
    """A message server and the admin connection to it."""

    what = "message server"

    def __init__(self, host: Host, name: str) -> None:
        super().__init__(host, name, SERVER_RESTART)
        self.group = f"server.{name}"  # no app can have this name
        self._admin: socket.socket | None = None
        self._numbers = itertools.count(1)
        self._registered: dict[str, int] = {}  # app → number of its connection
        self._on_event: Callable[[ServerUnit, dict[str, Any]], None] = lambda *_: None

    def on_event(self, callback: Callable[[ServerUnit, dict[str, Any]], None]) -> None:
        self._on_event = callback

    def register(self, app: App, caller_id: int, connection: socket.socket) -> None:
        """Hand over the end of a control connection whose other end an app has."""
        access = {port: {"role": grant.role} for port, grant in app.access[self.name].items()}
        number = self._registered[app.name] = next(self._numbers)
        order = {"op": "register", "app": app.name, "id": caller_id, "access": access, "number": number}
        order |= tracing.registration(self._host.manifest, app, self.name)
        self.send(order, [connection.fileno()])

    def hung_up(self, event: dict[str, Any]) -> bool:
        """Whether a "disconnected" is the server's doing, and not of an earlier start of the app."""
        return bool(event.get("text")) and event.get("number") == self._registered.get(event["app"])

    def send(self, order: dict[str, Any], descriptors: list[int] | None = None) -> None:
        """Send an order; a server that takes none any more is killed, and its end does the rest."""
        if self._admin is None:
            return
        try:
            socket.send_fds(self._admin, [json.dumps(order).encode()], descriptors or [], socket.MSG_DONTWAIT)
        except OSError:
            if self.process is not None:
                self.process.kill("it does not read its admin connection")

    def lost(self) -> bool:
        """Whether it is gone, which an app may notice before we do: nobody can be started on it then."""
        if self._admin is not None:
            poll = select.poll()
            poll.register(self._admin, 0)  # a hang-up is always told
            if not poll.poll(0):
                return False
        self.ready = False
        return True

    def _cell(self, *, joined: bool) -> Cell:
        return server_cell(self._host.place, self._host.manifest, self.name)

    def _connections(self) -> list[socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._admin = ours
        self._host.loop.watch(ours.fileno(), self._read)
        return [theirs]

    def _read(self) -> None:
        assert self._admin is not None
        try:
            packet = self._admin.recv(ADMIN_PACKET_MAX)
        except ConnectionResetError:
            packet = b""
        if not packet:
            self._disconnected()
            return
        event = _event(packet)
        if event is None:
            # Hostile apps speak with it all day: should one have taken it over, that must end here.
            if self.process is not None:
                self.process.kill("what it sent on its admin connection is no event")
        elif event["event"] == "started":
            self.ready = True
            self._host.changed(self)
        else:
            self._on_event(self, event)

    def _ask_to_end(self) -> None:
        self._disconnected()  # a message server ends with its admin connection

    def _disconnected(self) -> None:
        if self._admin is not None:
            self._host.loop.unwatch(self._admin.fileno())
            self._admin.close()
            self._admin = None


def _event(packet: bytes) -> dict[str, Any] | None:
    """An event of a message server; None for anything else."""
    try:
        event = json.loads(packet)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    texts = all(isinstance(event.get(key, ""), str) for key in ("app", "port", "operation", "text"))
    whole = isinstance(event.get("seq", 0), int) and isinstance(event.get("apps", {}), dict)
    return event if texts and whole else None


class AppUnit(Unit):
    """An app."""

    what = "app"

    def __init__(self, host: Host, app: App, servers: dict[str, ServerUnit]) -> None:
        super().__init__(host, app.name, app.restart)
        self.app = app
        self.late = False  # it was not ready in time: nobody waits for it any more
        self.servers = [servers[name] for name in sorted(app.access)]
        self._held: list[tuple[ServerUnit, socket.socket]] = []  # control connections that nobody serves yet
        self._running = False
        self._channel: socket.socket | None = None  # to the app, where the manifest opens it
        self._debugger: GdbFar | None = None  # the newest

    @property
    def settled(self) -> bool:
        """Whether those who need it may start: it is ready, or waiting for it makes no sense."""
        return self.ready or self.late or self.state in (STOPPED, FAILED)

    @property
    def may_start_ahead(self) -> bool:
        """Whether it may start before those whom it needs: a service of ours, which does nothing before its
        first question to a message server is answered.
        """
        return isinstance(self.app.image, ServiceImage) and all(server.process for server in self.servers)

    @property
    def held(self) -> bool:
        """Whether nobody answers it yet, because those whom it needs are not ready."""
        return bool(self._held)

    def admit(self) -> None:
        """Let its message servers answer it: those whom it needs are ready."""
        caller_id = self._host.manifest.caller_id(self.name)
        for server, connection in self._held:
            server.register(self.app, caller_id, connection)
        self._let_go()
        self._expect_ready()

    def _let_go(self) -> None:
        for _server, connection in self._held:
            connection.close()
        self._held.clear()

    def _expect_ready(self) -> None:
        """Its time to become ready begins when it runs and somebody answers it."""
        if self._running and self.servers and not self.held and not self.ready:
            self._later(READY_SECONDS, self._not_ready)

    def is_ready(self) -> None:
        """Its message server says that the app called kos_app_ready()."""
        if self.process is not None and not self.ready:
            self.ready = True
            self._host.changed(self)

    def on_end(self, end: End) -> None:
        # Its authority went with its message server, and whatever it did then is not held against it.
        if end.violation is None and any([server.lost() for server in self.servers]):
            self._again = True
        self._host.app_ended(self.name, end)
        super().on_end(end)

    def on_started(self) -> None:
        self._running = True
        if not self.servers:
            self.is_ready()  # it has nobody to say so to
        self._expect_ready()
        if wanted_limits(self.app).storage is not None:
            self._later(STORAGE_SECONDS, self._check_storage)

    def _not_ready(self) -> None:
        if not self.ready:
            self.late = True
            self._host.console.say(f"{self.name}: not ready after {READY_SECONDS:g} s")
            self._host.event("late", app=self.name)
            self._host.changed(self)

    def _check_storage(self) -> None:
        """No file system that we may rely on counts for us: look, and end an app that has taken too much."""
        self._count_storage(usage(self._host.place.data(self.name)))

    def _count_storage(self, steps: Iterator[int]) -> None:
        allowed = wanted_limits(self.app).storage
        used = next(steps, None)
        if used is None:
            self._later(STORAGE_SECONDS, self._check_storage)
        elif allowed is not None and used > allowed and self.process is not None:
            self.process.kill(f"its /data holds over {used} bytes, allowed are {allowed}")
        else:
            self._later(0.0, lambda: self._count_storage(steps))

    def _cell(self, *, joined: bool) -> Cell:
        network = self._host.network
        return app_cell(
            self._host.place,
            self._host.manifest,
            self.app,
            joined=joined,
            keeper=network.serves(self.name),
            stream=self._granted(),
            resolv=network.resolv_conf(self.name) if joined else None,
        )

    def _join(self) -> Join | None:
        return self._host.network.join(self.name)

    def _wanted(self) -> Wanted:
        return wanted_limits(self.app, threads=THREADS if self._granted() == SHELL else 0)

    def _connections(self) -> list[socket.socket]:
        connections = []
        for server in self.servers:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._held.append((server, ours))
            connections.append(theirs)
        for resource in self.app.resources_of(SupervisorResource):
            connections.append(self._host.supervisor_connection(self.name, resource.streams))
        if self._host.network.serves(self.name):
            connections.append(self._host.network.connection(self.name))
        if self._granted() in (SHELL, CONSOLE):
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            connections.append(theirs)
        return connections

    def look_into(self, kind: str, number: int) -> Far:
        """The app's side of a new stream of a kind that the manifest grants.

        Raises:
            KosError: the app does not take it.
        """
        if kind == GDB:
            from kos.device.debug.gdb import GdbFar  # seldom wanted

            if self.process is None:
                raise KosError(f"{self.name} is just ending")
            self._debugger = GdbFar(self._host.loop, self._host.place, self.process, self._debugger)
            return self._debugger
        if self._channel is None:
            raise KosError(f"{self.name} has no channel: it is just ending")
        try:
            return ChannelFar(self._channel, number)
        except OSError as error:
            raise KosError(f"{self.name} does not listen on its channel: {error.strerror}") from error

    def _granted(self) -> str | None:
        return granted(self.app, self._host.manifest.options)

    def _disconnected(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._running = False
        self._let_go()
        for server in self.servers:
            server.send({"op": "unregister", "app": self.name})
