"""Running systems that trace, watched over the supervisor's control socket."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kos.abi.services import PORT_TRACE, PORT_TRACE_ADMIN
from kos.abi.trace_frame import parse
from kos.build import native
from kos.tracing import Timeline
from kos.tracing.timeline import document
from tests.device.systems import DEADLINE, RunningSystem, app, install
from tests.services.systems import ports_of, service
from tests.tracing.chrome import check_document

CALLER = """
    import time
    from kos import app
    def main():
        token = app.connect("echo")
        app.ready()
        number = 0
        while True:
            number += 1
            app.trace_mark(42, number)
            token.call(7, number, b"ping")
            time.sleep(0.02)
"""


def traced(each: dict[str, Any]) -> dict[str, Any]:
    """The same app, connected to the trace server."""
    each["access"].setdefault("msg0", {})[PORT_TRACE] = {"role": "client"}
    return each


def tracer() -> dict[str, Any]:
    restart = {"policy": "always", "backoff_initial": 0.01, "backoff_max": 0.1, "limit": 10, "window": 60.0}
    return service("trace", PORT_TRACE, PORT_TRACE_ADMIN, resources=[{"type": "supervisor"}], restart=restart)


def echo(directory: Path) -> dict[str, Any]:
    """A C app over libkos that serves `echo`."""
    program = native.tests() / "echo_server"
    sha256 = hashlib.sha256(program.read_bytes()).hexdigest()
    place = directory / "store" / "images" / sha256 / "bin"
    place.mkdir(parents=True)
    shutil.copy(program, place / "program")
    image = {"kind": "c", "sha256": sha256, "size": 1, "entry": "bin/program"}
    return traced(app(image=image, access={"msg0": {"echo": {"role": "server"}}}))


def caller(source: str = CALLER, **members: Any) -> dict[str, Any]:
    return traced(app(source, access={"msg0": {"echo": {"role": "client"}}}, **members))


def started(
    directory: Path, apps: dict[str, Any], *, ordinary_user: bool = False, **options: bool
) -> RunningSystem:
    """These apps and the trace server."""
    apps = {"trace_server": tracer(), **apps}
    install(directory, apps, ports_of(apps), {"tracing": True, **options})
    return RunningSystem(directory, ordinary_user=ordinary_user)


class Watch:
    """A watch that goes on until what was wanted was seen."""

    def __init__(self, frames: Iterator[dict[str, Any]]) -> None:
        self.timeline = Timeline()
        self.events: list[dict[str, Any]] = []
        self._frames = frames
        self._names: dict[int, str] = {}

    def until(self, wanted: Callable[[Watch], bool], what: str, *, check: bool = True) -> None:
        """Reads frames; fails when what is wanted does not come in time, or is not what Perfetto opens."""
        end = time.monotonic() + DEADLINE
        while not wanted(self):
            frame = next(self._frames, None) if time.monotonic() < end else None
            assert frame is not None, f"not seen: {what}; there is {sorted(self.titles())[:60]}"
            fresh = self.timeline.feed(parse(frame))
            self._names |= {one["pid"]: one["args"]["name"] for one in fresh if one["name"] == "process_name"}
            self.events += fresh
        if check:
            check_document(document([*self.events, *self.timeline.unfinished()]))

    def forget(self) -> None:
        """What was seen so far does not count any more."""
        self.events = [one for one in self.events if one["ph"] == "M"]

    def titles(self) -> set[tuple[str, str]]:
        """App and name of each event."""
        return {(self._names[one["pid"]], one["name"]) for one in self.events if one["ph"] != "M"}

    def arrows(self, since: float = 0.0) -> set[tuple[str, str, str]]:
        """Sender, receiver and name of each arrow that began after `since` (seconds, monotonic)."""
        begins = {one["id"]: one for one in self.events if one["ph"] == "s" and one["ts"] > since * 1e6}
        return {
            (self._names[begins[one["id"]]["pid"]], self._names[one["pid"]], one["name"])
            for one in self.events
            if one["ph"] == "f" and one["id"] in begins
        }


@contextlib.contextmanager
def watching(system: RunningSystem) -> Iterator[Watch]:
    with system.client() as client:
        yield Watch(client.trace(4 * DEADLINE))
