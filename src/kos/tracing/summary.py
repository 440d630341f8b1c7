"""What a time line comes to: for each app and each port, how much and how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

DURATIONS_MAX = 10_000  # of one row; beyond it every second one is kept


@dataclass
class Row:
    """Calls of one app through one port, or all that one app did."""

    calls: int = 0
    served: int = 0
    sent: int = 0
    failed: int = 0
    processor: float | None = None  # percent of one, the last that was seen
    durations: list[float] = field(default_factory=list)  # microseconds of a call

    def add(self, duration: float) -> None:
        self.durations.append(duration)
        if len(self.durations) > DURATIONS_MAX:
            del self.durations[::2]

    def percentile(self, percent: float) -> float | None:
        ranked = sorted(self.durations)
        return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))] if ranked else None

    def as_json(self) -> dict[str, Any]:
        members = {key: value for key, value in vars(self).items() if key != "durations"}
        return members | {f"p{percent}": self.percentile(percent) for percent in (50, 99)}


class Summary:
    """Counts events of a `Timeline`."""

    def __init__(self) -> None:
        self.apps: dict[str, Row] = {}
        self.ports: dict[tuple[str, str], Row] = {}  # app that calls, port
        self.events = 0
        self._names: dict[int, str] = {}

    def add(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            if event["ph"] == "M":
                if event["name"] == "process_name":
                    self._names[event["pid"]] = event["args"]["name"]
                    self.apps.setdefault(event["args"]["name"], Row())
                continue
            self.events += 1
            self._count(self._names[event["pid"]], event)

    def _count(self, app: str, event: dict[str, Any]) -> None:
        row = self.apps[app]
        if event["ph"] == "C" and event["name"].startswith("on processor"):
            row.processor = next(iter(event["args"].values()))
        if event["ph"] != "X":
            return
        port = self.ports.setdefault((app, event["args"].get("port", "")), Row())
        for each in (row, port):
            match event["cat"]:
                case "call":
                    each.calls += 1
                    each.add(event["dur"])
                case "send":
                    each.sent += 1
                case "serve":
                    each.served += 1
            each.failed += event["args"].get("status", "OK") not in ("OK", "CREATED")

    def as_json(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "apps": {app: row.as_json() for app, row in sorted(self.apps.items())},
            "ports": [
                {"app": app, "port": port, **row.as_json()}
                for (app, port), row in sorted(self.ports.items())
                if port
            ],
        }
