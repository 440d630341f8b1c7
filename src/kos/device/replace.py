"""Replace a running system by another one, touching only what differs.

An app is left alone when everything that the manifest says of it is the same, its message servers too.
The others are stopped, and the new ones started in the usual order. Whether the new system is any good is not
judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kos.abi.records import dataclass, replace
from kos.device.debug.grants import granted
from kos.device.units import Unit
from kos.manifest.model import App, Manifest


@dataclass(frozen=True)
class Difference:
    """Names of what must stop and of what must start; what is in both is replaced."""

    stop: frozenset[str]
    start: frozenset[str]
    servers: frozenset[str]  # message servers that are made anew

    @property
    def whole(self) -> bool:
        return bool(self.servers)


def difference(old: Manifest, new: Manifest) -> Difference:
    """What has to change from one manifest to the other."""
    servers = frozenset(
        name
        for name in {*old.msg_servers, *new.msg_servers}
        if old.msg_servers.get(name) != new.msg_servers.get(name)
    )
    # What every app's environment depends on: a change here is a change of each.
    everything = _outside(old) != _outside(new)
    same = {
        name
        for name in old.apps.keys() & new.apps.keys()
        if not everything
        and _app(old.apps[name]) == _app(new.apps[name])
        and old.caller_id(name) == new.caller_id(name)
        and granted(old.apps[name], old.options) == granted(new.apps[name], new.options)
        and not servers & set(old.apps[name].access)
    }
    return Difference(frozenset(old.apps) - same, frozenset(new.apps) - same, servers)


def _app(app: App) -> App:
    """The app without what says only where its author wrote it."""
    grants = {
        server: {port: replace(grant, where="") for port, grant in ports.items()}
        for server, ports in app.access.items()
    }
    return replace(app, where="", access=grants)


def _outside(manifest: Manifest) -> tuple[object, ...]:
    options = manifest.options
    return (options.tunnel_ips, options.tracing, options.unsafe_trace_payloads, manifest.platform)


class Replacement:
    """A replacement under way: waits until what must stop has stopped, then calls `then` once."""

    def __init__(self, units: Mapping[str, Unit], then: Callable[[], None]) -> None:
        self._units = units
        self._then: Callable[[], None] | None = then
        for unit in units.values():
            unit.stop()

    def check(self) -> None:
        """A unit changed."""
        if self._then and not any(unit.process for unit in self._units.values()):
            then, self._then = self._then, None
            then()
