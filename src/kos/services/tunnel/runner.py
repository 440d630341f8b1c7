"""Carries out what `peering` decides: looks names up through ethernet, tells the keeper. A thread of its
own."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kos.abi import network as wire
from kos.abi.errors import KosError
from kos.abi.services import ETHERNET_RESOLVE, ETHERNET_STATUS
from kos.network.keeper_link import KeeperLink
from kos.services.tunnel.peering import CONNECTED, WAITING, Check, Peering, Resolve, SetPeer

PROVISION_SECONDS = 5.0  # between two looks for provisioning while nobody has said who the peer is
# A service's call: label, payload → status is fine, payload.
Call = Callable[[int, bytes], tuple[bool, bytes]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class PeerSettings:
    """Who the peer is and where; from the manifest, or from provisioning, which goes first."""

    host: str
    port: int
    public_key: str
    keep_alive: int


def peer_settings(manifest: dict[str, Any], provisioned: dict[str, str]) -> PeerSettings | None:
    """The peer, None while nobody has said. `manifest` is `tunnel_settings`, checked at build time."""
    endpoint = provisioned.get("peer_endpoint") or manifest.get("peer_endpoint") or ""
    public_key = provisioned.get("peer_public_key") or manifest.get("peer_public_key") or ""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit() or not public_key:
        return None
    return PeerSettings(host.strip("[]"), int(port), public_key, int(manifest.get("keep_alive", 25)))


class Runner:
    """Keeps the tunnel up. `snapshot` is what it knows, a fresh object at every change.

    The keeper's connection is used by this thread and by the one that answers apps: `ask` takes turns.
    """

    def __init__(self, keeper: KeeperLink, ethernet: Call, settings: dict[str, Any], say: Say) -> None:
        self._keeper = keeper
        self._turn = threading.Lock()
        self._ethernet = ethernet
        self._settings = settings
        self._say = say
        self._peer: PeerSettings | None = None
        self._peering: Peering | None = None
        self._said = ""
        self._network: object = None
        self.snapshot: dict[str, Any] = {"state": WAITING, "reason": "starting", "endpoint": ""}

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Ask the keeper, from any thread."""
        with self._turn:
            return self._keeper.ask(op, **arguments)

    def run(self) -> None:
        """For ever; raises KosError when the keeper is gone."""
        while True:
            time.sleep(self.step(time.monotonic()))

    def step(self, now: float) -> float:
        """Do what is due; → seconds until the next time."""
        if self._peering is None or self._peer is None:
            self._follow(self.ask(wire.OP_STATUS))
            if self._peering is None:
                self._publish(WAITING, "nobody has said who the peer is", {})
                return PROVISION_SECONDS
        match self._peering.next(now):
            case Resolve():
                self._look_at_network(now)
                self._resolve(now)
            case SetPeer(address=address, fresh=fresh):
                self._set_peer(address, fresh)
            case Check():
                self._check(now)
            case wait:
                return wait.seconds
        return 0.0

    def _follow(self, status: dict[str, Any]) -> None:
        """Take what provisioning says now."""
        wanted = peer_settings(self._settings, status["provisioned"])
        if wanted != self._peer:
            self._peer = wanted
            self._peering = Peering(wanted.keep_alive, random.random) if wanted else None

    def _look_at_network(self, now: float) -> None:
        fine, payload = self._ethernet(ETHERNET_STATUS, b"")
        state = json.loads(payload) if fine else {}
        seen = (state.get("link"), tuple(state.get("addresses", ())), tuple(state.get("dns", ())))
        if seen != self._network and self._peering is not None:
            if self._network is not None:
                self._peering.network_changed(now)
            self._network = seen

    def _resolve(self, now: float) -> None:
        assert self._peer is not None and self._peering is not None
        fine, payload = self._ethernet(ETHERNET_RESOLVE, self._peer.host.encode())
        if fine and payload:
            self._peering.resolved(tuple(payload.decode().split("\n")), now)
        else:
            text = payload.decode("utf-8", "replace") or f"cannot look up {self._peer.host}"
            self._peering.not_resolved(text, now)
        self._publish(self._peering.state, self._peering.reason, self.snapshot)

    def _set_peer(self, address: str, fresh: bool) -> None:
        assert self._peer is not None
        host = f"[{address}]" if ":" in address else address
        self.ask(
            wire.OP_PEER,
            public_key=self._peer.public_key,
            endpoint=f"{host}:{self._peer.port}",
            keep_alive=self._peer.keep_alive,
            fresh=fresh,
        )

    def _check(self, now: float) -> None:
        assert self._peering is not None
        try:
            status = self.ask(wire.OP_STATUS)
        except KosError as error:
            if "gone" in error.message:
                raise
            self._peering.checked(None, 0, 0, now)  # WireGuard is being started again
            return
        self._look_at_network(now)
        peer = status["peer"]
        if peer is not None:
            self._peering.checked(peer["handshake_age"], peer["rx_bytes"], peer["tx_bytes"], now)
        else:
            self._peering.checked(None, 0, 0, now)
        self._publish(self._peering.state, self._peering.reason or status["key_problem"], status)
        self._follow(status)

    def _publish(self, state: str, reason: str, status: dict[str, Any]) -> None:
        peer = status.get("peer") or {}
        if state != self._said:
            self._say(f"{state}: {peer.get('endpoint', '')}" if state == CONNECTED else f"{state}: {reason}")
            self._said = state
        self.snapshot = {
            "state": state,
            "reason": reason,
            "endpoint": peer.get("endpoint", ""),
            "public_key": status.get("public_key", ""),
            "handshake_age": peer.get("handshake_age"),
            "peer": status.get("peer"),
            "addresses": status.get("addresses", {}),
        }
