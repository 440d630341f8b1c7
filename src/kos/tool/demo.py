"""The demo: the weather station on this machine, and three things that the platform promises, shown as they
happen.

It waits for events of the running system, never for time to pass; what does not happen in time is an error.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kos.abi.errors import KosError
from kos.build.system import Builder
from kos.manifest.load import load_project
from kos.tool import graph, output, packages
from kos.tool.request import RunRequest
from kos.tool.runners import host

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "weather_station"
PLATFORM = "host"
SETTINGS = {"KOS_CONFIG_DEMO__INTRUDER": "true", "KOS_CONFIG_SENSOR__INTERVAL": "500"}
VICTIM = "wx_sensor"
WAIT_SECONDS = 20.0  # for each thing that is to happen
READING = "station: reading "  # in each line that the station logs
READINGS = 3  # that are shown before and after the crash


class Watcher:
    """Collects what a running system tells, so that one can wait for something in it."""

    def __init__(self, system: host.HostRun) -> None:
        self._told = threading.Condition()
        self._events: list[dict[str, Any]] = []
        self._lines: list[str] = []
        self._clients = [system.client(), system.client()]
        for source, into in (
            (self._clients[0].events(), self._events),
            (self._clients[1].console(history=True), self._lines),
        ):
            threading.Thread(target=self._collect, args=(source, into), daemon=True).start()

    def _collect(self, source: Any, into: list[Any]) -> None:
        for item in source:
            with self._told:
                into.append(item)
                self._told.notify_all()

    def _wait(self, what: str, found: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WAIT_SECONDS
        with self._told:
            while not (result := found()):
                if not self._told.wait(max(0.0, deadline - time.monotonic())):
                    raise KosError(
                        f"the demo waited {WAIT_SECONDS:.0f} s in vain for this: {what}",
                        hint="the console above says what happened instead",
                    )
        return result

    def count(self) -> int:
        """How many console lines there were."""
        return len(self._lines)

    def line(self, what: str, *parts: str) -> str:
        """Wait for a console line that holds all these parts."""
        return self._wait(what, lambda: next((e for e in self._lines if all(p in e for p in parts)), None))

    def event(self, what: str, **members: Any) -> dict[str, Any]:
        """Wait for an event with these members."""

        def found() -> dict[str, Any] | None:
            return next((e for e in self._events if members.items() <= e.items()), None)

        return self._wait(what, found)

    def readings(self, since: int = 0) -> None:
        """Wait for some readings among the console lines after the first `since` ones."""
        self._wait(
            "readings of the sensor",
            lambda: sum(READING in line for line in self._lines[since:]) >= READINGS,
        )


def run(*, once: bool) -> int:
    """Show the demo; the exit code."""
    packages.require("run")
    project = load_project(EXAMPLE, {**os.environ, **SETTINGS})
    output.step("building the weather station: an app in C, an app in Python")
    built = Builder(project, PLATFORM, say=output.step).build()
    output.step(f"starting it isolated on this machine, with Poukai: {len(built.manifest.apps)} apps")
    try:
        with host.started(RunRequest(EXAMPLE, PLATFORM, name="demo"), built=built) as system:
            _show(system)
            if once:
                output.step(
                    "next: kos-tool new.system NAME makes a system of your own; docs/README.md explains it"
                )
                return 0
            output.step("it goes on; Ctrl-C stops everything. In another terminal: kos-tool status")
            return 0 if system.process.wait() == 0 else 1
    except KeyboardInterrupt:
        output.say("")
        output.step("stopped; nothing is left behind")
        return 130


def _process_of(sandbox: int) -> int:
    """The app's own process: the child of the first process of its sandbox, which ignores such a signal."""
    children = Path(f"/proc/{sandbox}/task/{sandbox}/children").read_text().split()
    return int(children[0]) if children else sandbox


def _show(system: host.HostRun) -> None:
    watcher = Watcher(system)
    watcher.readings()

    output.step(
        "what the manifest does not grant does not exist: the intruder asked for ports that it was not given"
    )
    refused = watcher.line("a refused connection", "| supervisor ", " intruder: ", "refused")
    output.step(refused.split("|", 3)[3].strip())

    with system.client() as client:
        before = client.status()["apps"]
        output.step(f"crashing {VICTIM} on purpose")
        lines = watcher.count()
        os.kill(_process_of(before[VICTIM]["pid"]), signal.SIGSEGV)
        watcher.event(
            f"{VICTIM} ready again",
            event="app",
            name=VICTIM,
            ready=True,
            restarts=before[VICTIM]["restarts"] + 1,
        )
        watcher.readings(since=lines)
        after = client.status()["apps"]
    others = [name for name in before if name != VICTIM and before[name]["pid"] != after[name]["pid"]]
    if others:
        raise KosError(f"the crash of {VICTIM} also restarted {', '.join(others)}")
    output.step(f"{VICTIM} was restarted alone; every other app is the process that it was")

    output.step("who may talk to whom:")
    output.result(graph.as_text(system.manifest))
