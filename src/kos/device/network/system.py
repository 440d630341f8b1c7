"""The network of a running system, as the supervisor needs it: who joins what, and what happens when it
fails.

It fails closed: without a keeper an app that was promised a network runs with none at all.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from kos.abi.errors import KosError
from kos.device.loop import Loop
from kos.device.network.client import Join, NetworkClient
from kos.device.network.plan import plan_network
from kos.manifest.model import Manifest

RESTART_SECONDS = 1.0  # pause before a keeper that ended is started again
COUNTERS_SECONDS = (
    1.0  # for which counters that were read are new enough: whoever may ask, may ask all the time
)


class SystemNetwork:
    """The keeper of one system and what it gives to each app. It starts at once and is waited for when
    needed.
    """

    def __init__(
        self,
        loop: Loop,
        manifest: Manifest,
        directory: Path,
        *,
        owned: bool,
        say: Callable[[str], None],
        restart: Callable[[str], None],
    ) -> None:
        """Plan the network and start building it.

        Args:
            loop: tells when the keeper ends.
            manifest: what to grant.
            directory: of the system; its `keys` are the key partition, `network` is for our own files.
            owned: whether the machine's interfaces are ours, as on a device.
            say: a line for the console.
            restart: called with each app whose network was lost and is there again.
        """
        self._loop = loop
        self._directory = directory
        self._owned = owned
        self._say = say
        self._restart = restart
        self._client: NetworkClient | None = None
        self._handle: int | None = None
        self._counters: dict[str, dict[str, list[int]]] = {}
        self._counted_at = -COUNTERS_SECONDS
        self.plan = plan_network(manifest)
        self._start()

    def _start(self) -> None:
        if self.plan is None:
            return
        try:
            self._client = NetworkClient(self.plan, self._directory / "keys", owned=self._owned)
        except (KosError, OSError) as error:
            self._lost(str(error))
            return
        self._handle = os.pidfd_open(self._client.process.pid)
        self._loop.watch(self._handle, self._ended)

    def apply(self, manifest: Manifest) -> set[str]:
        """Go over to another manifest; → the apps that must be started anew to have their network.

        A network that changes is built anew as a whole: it takes a moment, and no rule of the old one is
        left.
        """
        plan = plan_network(manifest)
        if plan == self.plan:
            return set()
        affected = {
            name for each in (self.plan, plan) if each for name in (*each.roles, *(a.name for a in each.apps))
        }
        self._drop()
        self.plan = plan
        self._start()
        return affected

    def _lost(self, why: str) -> None:
        self._say(f"network: {why}")
        self._say("network: apps run without it")
        self._client = None

    def _ended(self) -> None:
        """The keeper died under a running system: what it built is dead too, so build it again."""
        client, ready = self._client, self._client is not None and self._client.built
        self._drop()
        if client is None or self.plan is None:
            return
        if not ready:  # it could not even start, and says so to whoever asks it first
            return
        self._say("network: its keeper ended and is started again")
        self._loop.call_later(RESTART_SECONDS, self._again)

    def _again(self) -> None:
        self._start()
        if self._client is not None and self.plan is not None:
            for name in (*self.plan.roles, *(app.name for app in self.plan.apps)):
                self._restart(name)

    def _drop(self) -> None:
        if self._handle is not None:
            self._loop.unwatch(self._handle)
            os.close(self._handle)
            self._handle = None
        if self._client is not None:
            self._client.close()
            self._client = None

    def join(self, app: str) -> Join | None:
        """How the process of an app enters its network; None: it has none."""
        if self._client is None:
            return None
        try:
            return self._client.join(app)
        except KosError as error:
            self._lost(error.message)
            return None

    def serves(self, app: str) -> bool:
        """Whether that app is ethernet or tunnel, and there is a keeper for it to speak to."""
        return self._client is not None and app in self._client.plan.roles

    def connection(self, app: str) -> socket.socket:
        """The end of a new connection to the keeper, for an app that it `serves`.

        Raises:
            KosError: the keeper could not build the network.
        """
        if self._client is None:
            raise KosError("there is no network")
        try:
            return self._client.attach(app)
        except KosError as error:
            self._lost(error.message)
            raise

    def resolv_conf(self, app: str) -> Path | None:
        """A file for the app's /etc/resolv.conf; None where the tunnel has no resolver."""
        if self.plan is None or not self.plan.dns or self.plan.app(app) is None:
            return None
        path = self._directory / "network" / "resolv.conf"
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.write_text(f"nameserver {self.plan.dns}\n")
        path.chmod(0o644)
        return path

    def counters(self) -> dict[str, dict[str, list[int]]]:
        """App → reason → packets and bytes; empty without a network, or before it is built."""
        if self._client is None or not self._client.built:
            return {}
        now = time.monotonic()
        if now - self._counted_at >= COUNTERS_SECONDS:
            self._counted_at = now
            try:
                self._counters = self._client.counters()
            except KosError:
                self._counters = {}
        return self._counters

    def close(self) -> None:
        self._drop()
