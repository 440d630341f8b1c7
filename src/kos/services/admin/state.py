"""What the device is, gathered from the supervisor's status, as reports want it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kos.abi.records import asdict
from kos.abi.session import APPS_MAX, AppState, DeviceSettings, Hello, Report, Update, refused
from kos.services.admin.updates import Facts

HEALTHY_STATES = ("starting", "running", "recovering")  # the others say that something is wrong
CLOCK_IS_SET = 1_600_000_000  # seconds since 1970: a device whose clock says less has none


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


def has_clock() -> bool:
    return time.time() > CLOCK_IS_SET


class DeviceState:
    """The newest status and the state of the update."""

    def __init__(self, boot: str, platform: str, name: str = "", agent: str = "") -> None:
        self.boot = boot
        self.platform = platform
        self.name = name
        self.agent = agent
        self.system = ""
        self.generation = 0
        self.release: str | None = None
        self.overlay: str | None = None
        self.healthy = True
        self.update = Update()
        self.apps: dict[str, AppState] = {}
        self.traffic = {"sent": 0, "received": 0}  # bytes through the tunnel, of all apps
        self.settings = DeviceSettings()
        self._facts = Facts()
        self._manifest: str | None = None  # the one that runs, as the supervisor says

    def take_settings(self, settings: Mapping[str, Any]) -> None:
        """What the server wants of us; what this release does not know stays as it is."""
        self.settings = DeviceSettings.known(settings)

    def take_facts(self, facts: Facts) -> None:
        """What the upgrade engine says. A manifest that came another way has no release and no overlay."""
        if facts is not self._facts:  # just asked for: newer than the last status
            self._manifest = facts.manifest or self._manifest
        self._facts = facts
        self.generation = facts.generation or self.generation
        self._settle()

    def _settle(self) -> None:
        made_of = self._facts if self._manifest in (None, self._facts.manifest) else None
        self.release = made_of.release if made_of and made_of.release else self._manifest
        self.overlay = made_of.overlay if made_of else None

    def take_status(self, status: dict[str, Any]) -> bool:
        """A status of the supervisor; says whether something that a person would notice is different."""
        before = self._visible()
        self.system = status.get("name", "")
        self.platform = status.get("platform") or self.platform
        self._manifest = status.get("manifest") or self._manifest
        self._settle()
        self.healthy = status.get("state") in HEALTHY_STATES
        apps = {}
        self.traffic = dict.fromkeys(self.traffic, 0)
        for name, app in list(status.get("apps", {}).items())[:APPS_MAX]:
            state = app["state"] if app.get("ready") or app["state"] != "running" else "starting"
            network = app.get("network", {})
            apps[name] = AppState(
                state,
                app.get("restarts", 0),
                app.get("memory", 0),
                _ended(app),
                app.get("violations", 0),
                {reason: packets for reason, (packets, _bytes) in network.items()},
            )
            for way in self.traffic:
                self.traffic[way] += network.get(way, (0, 0))[1]
        self.apps = apps
        return self._visible() != before

    def hello(self) -> Hello:
        return Hello(self.boot, self.platform, self.system, self.agent, self.name, has_clock(), clock_ms())

    def report(self, number: int) -> Report:
        return Report(
            boot=self.boot,
            seq=number,
            sent=clock_ms(),
            generation=self.generation,
            release=self.release,
            overlay=self.overlay,
            clock=has_clock(),
            healthy=self.healthy,
            update=self.update,
            apps=self.apps,
            metrics=machine_metrics() | self._app_metrics(),
        )

    def _app_metrics(self) -> dict[str, float]:
        apps = self.apps.values()
        return {
            "apps_memory": float(sum(app.memory for app in apps)),
            "network_sent": float(self.traffic["sent"]),
            "network_received": float(self.traffic["received"]),
            "refused": float(sum(refused(asdict(app)) for app in apps)),
        }

    def _visible(self) -> object:
        apps = {name: (app.state, app.restarts) for name, app in self.apps.items()}
        return (self.system, self.generation, self.release, self.overlay, self.healthy, apps)


def _ended(app: dict[str, Any]) -> str:
    ended = app.get("last_end")
    return "" if not ended else str(ended)[:200]


def machine_metrics() -> dict[str, float]:
    """Memory, storage, load and temperature, as far as this machine tells."""
    metrics: dict[str, float] = {}
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        memory = {line.split(":")[0]: float(line.split()[1]) * 1024 for line in lines}
        metrics["memory_used"] = memory["MemTotal"] - memory["MemAvailable"]
        metrics["memory_total"] = memory["MemTotal"]
        metrics["load"] = os.getloadavg()[0]
        storage = os.statvfs("/")
        metrics["storage_free"] = float(storage.f_bavail * storage.f_frsize)
    except (OSError, KeyError, IndexError, ValueError):
        return metrics  # a sandbox may hide any of these
    zone = Path("/sys/class/thermal/thermal_zone0/temp")
    if zone.exists():
        metrics["temperature"] = int(zone.read_text()) / 1000
    return metrics
