"""What a running system says about itself: its status and its graph.

Message servers are asked for what they know; one that does not answer in time is left out, not waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kos.abi.digest import sha256_hex
from kos.abi.hints import TYPE_CHECKING, Any
from kos.device.units import FAILED, PAUSED, WAITING, AppUnit, Unit
from kos.manifest import codec
from kos.manifest.model import Manifest

if TYPE_CHECKING:
    from kos.device.supervisor import Supervisor

ANSWER_SECONDS = 1.0

Answer = Callable[[dict[str, Any]], None]


class Questions:
    """Status requests that wait for the message servers' part.

    One question is under way at a time and whoever asks meanwhile gets its answer: an app may ask as often as
    it likes, and message servers read one packet after the other.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._sequence = 0
        self._asking: list[Answer] = []
        self._missing: set[str] = set()
        self._found: dict[str, Any] = {}

    def ask(self, answer: Answer) -> None:
        """Answer with the system's status, now or when the message servers have spoken."""
        self._asking.append(answer)
        if len(self._asking) > 1:
            return
        self._sequence += 1
        number = self._sequence
        asked = [server for server in self._supervisor.servers.values() if server.ready]
        self._missing, self._found = {server.name for server in asked}, {}
        for server in asked:
            server.send({"op": "status", "seq": number})
        self._supervisor.loop.call_later(ANSWER_SECONDS, lambda: self._finish(number))
        if not asked:
            self._finish(number)

    def answer(self, server: str, event: dict[str, Any]) -> None:
        """A message server has spoken."""
        if event.get("seq") == self._sequence and server in self._missing:
            self._found.setdefault(server, {}).update(event.get("apps", {}))
            if event.get("more"):
                return
            self._missing.discard(server)
            if not self._missing:
                self._finish(self._sequence)

    def _finish(self, number: int) -> None:
        if number == self._sequence and self._asking:
            asking, self._asking = self._asking, []
            answer = system(self._supervisor, self._found)
            for each in asking:
                each(answer)


def system(supervisor: Supervisor, messages: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The whole status; `messages` is what each message server said about its apps."""
    apps = {}
    counters = supervisor.network.counters()
    for name, unit in supervisor.apps.items():
        apps[name] = {
            **_unit(unit),
            # Reason → packets and bytes; nothing for an app without an address in the tunnel.
            "network": counters.get(name, {}),
            "messages": {server: found[name] for server, found in messages.items() if name in found},
        }
    return {
        "name": supervisor.manifest.name,
        "release": supervisor.manifest.release,
        "platform": supervisor.manifest.platform,
        "manifest": digest(supervisor.manifest),
        "state": state(supervisor),
        "uptime": round(time.monotonic() - supervisor.started_at, 3),
        "limits": supervisor.place.mechanism.description,
        "root": supervisor.place.as_root,
        "post_mortems": supervisor.post_mortems.count(),
        "server_connected": supervisor.server_connected,
        "msg_servers": {name: _unit(unit) for name, unit in supervisor.servers.items()},
        "apps": apps,
    }


def digest(manifest: Manifest) -> str:
    """The SHA-256 of a manifest's canonical form."""
    return sha256_hex(codec.dump(manifest))


def state(supervisor: Supervisor) -> str:
    """One word for the system: starting, running, recovering, degraded, failed or stopping."""
    units: list[Unit] = [*supervisor.servers.values(), *supervisor.apps.values()]
    failed = [unit for unit in units if unit.state == FAILED]
    if supervisor.stopping:
        return "stopping"
    if any(not isinstance(unit, AppUnit) or unit.app.critical for unit in failed):
        return "failed"
    if failed:
        return "degraded"
    if not supervisor.settled:
        return "starting"
    return "recovering" if any(unit.state in (WAITING, PAUSED) for unit in units) else "running"


def _unit(unit: Unit) -> dict[str, Any]:
    process = unit.process
    return {
        "state": unit.state,
        "ready": unit.ready,
        "restarts": unit.restarts,
        "last_end": unit.last_end,
        "violations": unit.violations,
        "pid": process.pid if process else None,
        "uptime": round(time.monotonic() - unit.started_at, 3) if process else 0.0,
        "memory": process.memory() if process else 0,
    }


def graph(manifest: Manifest) -> dict[str, Any]:
    """Who serves and who uses which port."""
    return {
        "apps": sorted(manifest.apps),
        "msg_servers": {name: list(server.ports) for name, server in manifest.msg_servers.items()},
        "edges": [
            {"app": app.name, "port": port.name, "msg_server": port.msg_server, "role": access.role}
            for app, port, access in manifest.grants()
        ],
    }
