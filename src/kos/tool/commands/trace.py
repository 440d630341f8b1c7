"""Trace the messages of a running system"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kos.abi.errors import KosError
from kos.tool import completion, options, output
from kos.tool.server_client import SERVER

if TYPE_CHECKING:
    from kos.tool.traces import Trace
    from kos.tracing import Summary
    from kos.tracing.summary import Row

SECTION = "Run"
EVENTS_MAX = 2_000_000  # kept for --output; what comes after them is only counted
REFRESH = 4  # tables a second


@click.command()
@options.SYSTEM
@click.option(
    "--app", "apps", multiple=True, shell_complete=completion.apps, help="Only that app; may be given again."
)
@click.option("--seconds", type=options.Seconds(0.1, 86400), help="How long; without it, until Ctrl-C.")
@click.option(
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what was seen there, for Perfetto (ui.perfetto.dev) or chrome://tracing.",
)
@options.DEVICE_OPTION
@SERVER
@options.JSON
def command(
    system: str | None,
    apps: tuple[str, ...],
    seconds: float | None,
    file: Path | None,
    device: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Show who sends which messages to whom in a running system, how long calls take and what each app costs.

    The system must trace: `base = Poukai(tracing=True)`. Recording costs its apps time; see the guide.
    """
    from kos.build import files
    from kos.tool.traces import Trace
    from kos.tracing import Summary

    if device is not None and system is not None:
        raise click.UsageError("either a SYSTEM of this machine or a --device, not both")
    if file is not None:
        files.check_place(file)
    trace, summary, kept = Trace(), Summary(), []
    chooser = _Chooser(apps)
    source = trace.local(system, seconds) if device is None else trace.remote(url, device, seconds)
    with contextlib.closing(source), _live(quiet=as_json or output.plain(sys.stderr)) as show:
        with contextlib.suppress(KeyboardInterrupt):
            for events in source:
                chosen = chooser.choose(events)
                summary.add(chosen)
                kept += chosen[: EVENTS_MAX - len(kept)]
                show(lambda: _table(summary, trace))
    kept += chooser.choose(trace.unfinished)
    if missing := set(apps) - set(summary.apps):
        raise KosError(
            f"no traced app {sorted(missing)[0]!r}", hint=f"apps: {', '.join(sorted(chooser.seen))}"
        )
    if file is not None:
        _write(file, kept)
    if as_json:
        lost = {app: count for app, count in trace.lost.items() if app in summary.apps}
        invalid = {app: count for app, count in trace.invalid.items() if app in summary.apps}
        output.result_json(summary.as_json() | {"lost": lost, "invalid": invalid})
    else:
        output.result(_table(summary, trace))


class _Chooser:
    """Keeps the events of some apps; of all where none is named."""

    def __init__(self, apps: tuple[str, ...]) -> None:
        self._apps = apps
        self._numbers: set[int] = set()
        self.seen: set[str] = set()

    def choose(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for event in events:
            if event["ph"] == "M" and event["name"] == "process_name":
                self.seen.add(event["args"]["name"])
                if not self._apps or event["args"]["name"] in self._apps:
                    self._numbers.add(event["pid"])
        return [event for event in events if event["pid"] in self._numbers]


@contextlib.contextmanager
def _live(*, quiet: bool) -> Iterator[Callable[[Callable[[], str]], None]]:
    """A function that shows a table in place of the one before, now and then."""
    if quiet:
        yield lambda _make: None
        return
    from rich.console import Console
    from rich.live import Live

    shown = 0.0
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:

        def show(make: Callable[[], str]) -> None:
            nonlocal shown
            if time.monotonic() - shown >= 1 / REFRESH:
                shown = time.monotonic()
                live.update(make(), refresh=True)

        yield show


def _table(summary: Summary, trace: Trace) -> str:
    headings = ["app", "port", "calls", "served", "sent", "failed", "p50 µs", "p99 µs", "cpu %", "lost"]
    rows: list[list[object]] = []
    for app, row in sorted(summary.apps.items()):
        rows.append([app, "", *_numbers(row), row.processor, trace.lost.get(app, 0)])
        for (of, port), each in sorted(summary.ports.items()):
            if of == app and port:
                rows.append(["", port, *_numbers(each), None, None])
    return output.table(headings, rows)


def _numbers(row: Row) -> list[object]:
    times = [None if (time := row.percentile(percent)) is None else round(time, 1) for percent in (50, 99)]
    return [row.calls, row.served, row.sent, row.failed, *times]


def _write(file: Path, events: list[dict[str, Any]]) -> None:
    from kos.tracing.timeline import document

    try:
        file.write_text(json.dumps(document(events), separators=(",", ":")))
    except OSError as error:
        raise KosError(f"cannot be written: {error.strerror}", where=str(file)) from error
    output.say(f"{len(events)} events in {file}: open it at ui.perfetto.dev")
