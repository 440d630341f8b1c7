"""Run a system: message servers and apps in the order that they need each other, and keep them running.

`python -m kos.device.supervisor --dir DIR` runs the system whose `manifest.json` and `store` are in DIR until
it is told to stop by its control socket or a signal. It leaves `console.log` behind and nothing else.

It decides about apps and trusts none of them: whatever it reads from one is bounded and never interpreted.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.device import status
from kos.device.cells import Place
from kos.device.console.lines import printable
from kos.device.console.log import Console
from kos.device.console.parse import coloured
from kos.device.control.server import ControlServer, Stream
from kos.device.debug import streams
from kos.device.debug.postmortem import PostMortems, record_of
from kos.device.limits import detect
from kos.device.loop import Loop
from kos.device.network.plan import plan_network
from kos.device.network.system import SystemNetwork
from kos.device.order import dependencies
from kos.device.process import End
from kos.device.replace import Replacement, difference
from kos.device.sandbox import running_as_root
from kos.device.tracing import Tracing
from kos.device.units import FAILED, PAUSED, RUNNING, STOPPED, WAITING, AppUnit, ServerUnit, Unit
from kos.device.upgrade import channel
from kos.manifest import codec
from kos.manifest.limits import MANIFEST_BYTES_MAX
from kos.manifest.model import Manifest
from kos.manifest.resources import Supervisor as Supervision

# Operations that an app with the `supervisor` resource may ask for: to see and to restart, not to end it all.
APP_OPERATIONS = frozenset({"post_mortem", "status", "graph", "console", "events", "restart", "server"})
# And one whose resource says `streams`: to pass on what the manifest opens to people.
STREAM_OPERATIONS = APP_OPERATIONS | set(streams.OPERATIONS)
# And one whose resource says `upgrade`: to speak with the upgrade engine.
UPGRADE_OPERATIONS = frozenset({"upgrade"})


class Supervisor:
    """One running system."""

    def __init__(self, place: Place, manifest: Manifest, loop: Loop) -> None:
        self.loop = loop
        self.place = place
        self.manifest = manifest
        self.stopping = False
        self.degraded = False
        self.started_at = time.monotonic()
        self.streams = streams.Streams(self)
        self.post_mortems = PostMortems(place.directory / "post_mortem")
        self._tracing = Tracing(self)
        # First of all: this fails where another system runs, whose files are not to be touched.
        self._control = ControlServer(loop, place.directory / "control.sock", self._operations())
        self.console = Console(place.directory / "console.log")
        self.network = SystemNetwork(
            loop,
            manifest,
            place.directory,
            owned=place.owns_machine,
            say=self.console.say,
            restart=lambda app: self.apps[app].restart(),
        )
        self.servers = {name: ServerUnit(self, name) for name in manifest.msg_servers}
        self.apps = {name: AppUnit(self, app, self.servers) for name, app in manifest.apps.items()}
        self.needs, self._broken = dependencies(manifest)
        self._listeners: list[Stream] = []
        self._readers: set[Stream] = set()
        self._server_links: dict[Stream, bool] = {}
        self._advancing = False
        self.settled = self._some_are_late = False
        self._replacement: Replacement | None = None
        self._status_questions = status.Questions(self)
        for server in self.servers.values():
            server.on_event(self._server_event)

    def run(self) -> None:
        """Until the system has stopped."""
        self.loop.on_signals((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), lambda _number: self.stop())
        self.console.say(f"{self.manifest.name} {self.manifest.release} starts")
        self.console.say(f"limits: {self.place.mechanism.description}")
        for cycle in self._broken:
            self.console.say(
                f"apps need each other in a circle, which is broken at {max(cycle)}: {' → '.join(cycle)}"
            )
        self._advance()
        self.loop.run()
        self.console.say("stopped")
        self.network.close()
        self._control.close()
        self.console.close()
        self.place.mechanism.close()

    # --- what units tell ----------------------------------------------------------------------------------
    def changed(self, unit: Unit) -> None:
        """A unit has a new state: tell the listeners, and do what has become possible."""
        self.event(unit.what, name=unit.name, state=unit.state, ready=unit.ready, restarts=unit.restarts)
        if isinstance(unit, ServerUnit) and unit.process is None and not self.stopping:
            for app in self.apps.values():
                if unit in app.servers:
                    app.kill_and_wait(f"its message server {unit.name} ended")
        if self._replacement:
            self._replacement.check()
        if unit.state == FAILED and not self.degraded:
            self.degraded = True
            self.event("degraded", name=unit.name)
        self._advance()

    def event(self, kind: str, **details: Any) -> None:
        for stream in tuple(self._listeners):
            stream.send({"event": kind, "time": round(time.monotonic() - self.started_at, 3), **details})

    def failed(self, unit: Unit, end: End, lines: Sequence[str]) -> None:
        """A unit ended badly: keep what is known of it, and tell who listens."""
        now = time.monotonic()
        record = self.post_mortems.add(
            record_of(
                unit.name,
                end,
                lines,
                release=self.manifest.release,
                manifest=status.digest(self.manifest),
                uptime=round(now - self.started_at, 3),
                ran=round(now - unit.started_at, 3),
                restarts=unit.restarts,
            )
        )
        self.event("crashed", app=unit.name, text=end.text, record=record)

    def _op_post_mortem(self, request: dict[str, Any], stream: Stream) -> None:
        app = request.get("app")
        stream.answer({"records": self.post_mortems.read(app if isinstance(app, str) else None)})

    def app_ended(self, app: str, end: End) -> None:
        self.streams.app_ended(app, end.text)

    def supervisor_connection(self, app: str, streams: bool) -> socket.socket:
        """A control connection for an app that holds the `supervisor` resource."""
        allowed = STREAM_OPERATIONS if streams else APP_OPERATIONS
        if any(one.upgrade for one in self.manifest.apps[app].resources_of(Supervision)):
            allowed |= UPGRADE_OPERATIONS
        return self._control.connection_for(app, allowed | self._tracing.operations_of(app))

    def _server_event(self, server: ServerUnit, event: dict[str, Any]) -> None:
        """What a message server says of an app; its words may be the app's own."""
        unit = self.apps.get(event.get("app", ""))
        match event["event"]:
            case "ready" if unit:
                unit.is_ready()
            case "refused" if unit:
                details = {key: _safe(event.get(key, "")) for key in ("port", "operation")}
                what = f"{details['operation']} of {details['port']}"
                self.console.say(f"{unit.name}: {what} refused: the manifest does not grant it")
                self.event("refused", app=unit.name, **details)
            case "violation" if unit:
                text = _safe(event.get("text", ""))
                self.console.say(f"{unit.name}: {text}")
                self.event("violation", app=unit.name, text=text)
            case "disconnected" if unit and unit.process and server.hung_up(event):
                # Deaf from now on: it ends, and its policy says what follows.
                text = _safe(event["text"])
                unit.process.kill(f"{server.name} disconnected it: it {text}")
            case "status":
                self._status_questions.answer(server.name, event)

    # --- progress -----------------------------------------------------------------------------------------
    def _advance(self) -> None:
        """Start, or stop, every unit whose turn it is. Starting one changes it, which leads back here."""
        if self._advancing:
            return
        self._advancing = True
        step = self._stop_next if self.stopping else self._start_next
        while step():
            pass
        self._advancing = False
        if self.stopping:
            if not any(unit.process for unit in self._units()):
                self.loop.stop()
        elif not self.settled and all(app.settled for app in self.apps.values()):
            self.settled = True
            self.event("settled", ready=self._say_ready(), apps=len(self.apps))
        elif self._some_are_late and all(app.ready for app in self.apps.values()):
            self._say_ready()

    def _say_ready(self) -> int:
        """Say how many apps are ready; if some are not, that is said once more when all of them are."""
        ready = sum(app.ready for app in self.apps.values())
        self._some_are_late = ready < len(self.apps)
        seconds = time.monotonic() - self.started_at
        self.console.say(f"{ready} of {len(self.apps)} apps ready after {seconds:.3f} s")
        return ready

    def _start_next(self) -> bool:
        for unit in self._units():
            if unit.state == WAITING and self._may_start(unit):
                unit.start()
                return True
            if isinstance(unit, AppUnit) and unit.held and self._may_run(unit):
                unit.admit()
                return True
        return False

    def _may_start(self, unit: Unit) -> bool:
        return not isinstance(unit, AppUnit) or unit.may_start_ahead or self._may_run(unit)

    def _may_run(self, app: AppUnit) -> bool:
        """Whether all that it needs is there."""
        return all(server.ready for server in app.servers) and all(
            self.apps[name].settled for name in self.needs[app.name]
        )

    def _stop_next(self) -> bool:
        alive = [app for app in self.apps.values() if app.process]
        for app in self.apps.values():
            if app.state in (WAITING, PAUSED) or (
                app.state == RUNNING and not app.ending and self._free(app, alive)
            ):
                app.stop()
                return True
        if not alive:
            for server in self.servers.values():
                if not server.ending and server.state not in (STOPPED, FAILED):
                    server.stop()
                    return True
        return False

    def _free(self, app: AppUnit, alive: list[AppUnit]) -> bool:
        """Whether nobody who is alive needs the app."""
        return not any(app.name in self.needs[other.name] for other in alive)

    def _units(self) -> list[Unit]:
        return [*self.servers.values(), *self.apps.values()]

    # --- orders from outside ------------------------------------------------------------------------------
    def stop(self) -> None:
        """Stop everything in order; asked for again, stop everything at once."""
        if self.stopping:
            for unit in self._units():
                if unit.process:
                    unit.process.kill()
            return
        self.stopping = True
        self.console.say("stopping")
        self.event("stopping")
        self._advance()

    def _operations(self) -> dict[str, Callable[[dict[str, Any], Stream], None]]:
        return {
            "status": lambda _request, stream: self._status_questions.ask(stream.answer),
            "graph": lambda _request, stream: stream.answer({"graph": status.graph(self.manifest)}),
            "stop": self._op_stop,
            "restart": self._op_restart,
            "server": self._op_server,
            "apply": self._op_apply,
            "console": self._op_console,
            "events": self._op_events,
            "post_mortem": self._op_post_mortem,
            **self.streams.operations(),
            **self._tracing.operations(),
            "upgrade": self._op_upgrade,
        }

    def _op_stop(self, _request: dict[str, Any], stream: Stream) -> None:
        stream.answer({})
        self.stop()

    def _op_server(self, request: dict[str, Any], stream: Stream) -> None:
        """An app that speaks with the server says whether it is connected, until its own connection ends."""
        if stream not in self._server_links:
            stream.on_close(lambda: self._server_links.pop(stream, None))
        self._server_links[stream] = request.get("connected") is True
        stream.answer({})

    @property
    def server_connected(self) -> bool:
        """Whether some app is connected to the device's server."""
        return any(self._server_links.values())

    def _op_restart(self, request: dict[str, Any], stream: Stream) -> None:
        name = request.get("app")
        unit = self.apps.get(name) if isinstance(name, str) else None
        if unit is None:
            stream.fail(f"there is no app {name!r}", f"apps: {', '.join(sorted(self.apps))}")
        elif self.stopping:
            stream.fail("the system is stopping", None)
        else:
            stream.answer({})
            unit.restart()

    def _op_apply(self, _request: dict[str, Any], stream: Stream) -> None:
        """Go over to the system in `manifest.next.json`; answers when what had to stop has stopped."""
        if self.stopping or self._replacement:
            stream.fail("the system is stopping or being replaced", None)
            return
        path = self.place.directory / "manifest.next.json"
        try:
            new = load_manifest(path)
            plan_network(new)
        except KosError as error:
            stream.fail(error.message, error.hint)
            return
        change = difference(self.manifest, new)
        units = {name: self.apps[name] for name in change.stop} | {
            name: self.servers[name] for name in change.servers & self.servers.keys()
        }
        self.console.say(f"release {new.release} replaces {self.manifest.release}")

        def swap() -> None:
            self._replacement = None
            self.manifest, self.settled, self.degraded = new, False, False
            for name in change.servers:
                self.servers.pop(name, None)
                if name in new.msg_servers:
                    self.servers[name] = ServerUnit(self, name)
                    self.servers[name].on_event(self._server_event)
            kept = {name: unit for name, unit in self.apps.items() if name not in change.stop}
            made = {name: AppUnit(self, new.apps[name], self.servers) for name in change.start}
            self.apps = dict(sorted({**kept, **made}.items()))
            self.needs, self._broken = dependencies(new)
            path.replace(path.with_name("manifest.json"))
            for name in self.network.apply(new) & kept.keys():
                kept[name].restart()
            stream.answer({"stopped": sorted(change.stop), "started": sorted(change.start)})
            self._advance()

        self._replacement = Replacement(units, swap)
        self._replacement.check()

    def _op_upgrade(self, _request: dict[str, Any], stream: Stream) -> None:
        """Hand over a connection to the upgrade engine, which trusts signatures and not who offers them."""
        try:
            with channel.open_engine(self.place.directory, owns_machine=self.place.owns_machine) as ours:
                stream.hand_over(ours.fileno())
        except OSError as error:
            stream.fail(f"the upgrade engine does not answer: {error.strerror}", None)

    def _op_console(self, request: dict[str, Any], stream: Stream) -> None:
        if stream in self._readers:
            stream.fail("this connection has the console already", None)
            return
        stream.answer({})
        if request.get("history"):
            for line in self.console.history:
                stream.send({"line": line})

        def forward(line: str) -> None:
            stream.send({"line": line})

        def forget() -> None:
            self._readers.discard(stream)
            self.console.unsubscribe(forward)

        self._readers.add(stream)
        self.console.subscribe(forward)
        stream.on_close(forget)

    def _op_events(self, _request: dict[str, Any], stream: Stream) -> None:
        if stream in self._listeners:
            stream.fail("this connection has the events already", None)
            return
        stream.answer({})
        self._listeners.append(stream)
        stream.on_close(lambda: self._listeners.remove(stream))


def _safe(text: str) -> str:
    return printable(text.encode(errors="replace"))


def load_manifest(path: Path) -> Manifest:
    """The manifest in a file, which may be hostile."""
    try:
        with path.open("rb") as file:
            data = file.read(MANIFEST_BYTES_MAX + 1)
    except OSError as error:
        raise KosError(f"cannot read the manifest: {error.strerror}", where=str(path)) from error
    return codec.load(data, where=str(path))


def print_console(console: Console) -> None:
    """Print console lines as long as somebody reads them, whatever our output can show."""
    sys.stdout.reconfigure(errors="backslashreplace")
    show = coloured if sys.stdout.isatty() and "NO_COLOR" not in os.environ else str

    def write(line: str) -> None:
        try:
            print(show(line), flush=True)
        except OSError:
            console.unsubscribe(write)
            sys.stdout = None  # the interpreter would flush it once more at its end, and fail

    console.subscribe(write)


def main(arguments: list[str] | None = None) -> int:
    """The program; → its exit status."""
    import argparse  # a device calls `run` itself

    from kos.device.launcher import cache_folder, host_launcher
    from kos.device.staging import host_runtime

    parser = argparse.ArgumentParser(prog="kos.device.supervisor", description="Run a system.")
    parser.add_argument("--dir", type=Path, required=True, help="holds manifest.json and store/")
    parser.add_argument("--quiet", action="store_true", help="do not print the console")
    options = parser.parse_args(arguments)
    directory = options.dir.resolve()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each app costs us about six
    cache = cache_folder()
    manifest = load_manifest(directory / "manifest.json")
    runtime = host_runtime(cache, host_launcher(cache))
    with contextlib.closing(Loop()) as loop, contextlib.ExitStack() as undo:
        mechanism = detect(f"kos-{os.getpid()}")
        undo.callback(mechanism.close)
        supervisor = Supervisor(Place(directory, runtime, mechanism, running_as_root()), manifest, loop)
        undo.pop_all()  # from here on it is the supervisor's
        if not options.quiet:
            print_console(supervisor.console)
        supervisor.run()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KosError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
