"""The gateway itself: namespace, WireGuard, peers, services. It must run in a process of its own.

Its UDP socket is the host's. An ordinary user's process first makes itself a user namespace
(`enter_user_namespace`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from kos.network import nft
from kos.network.engine import Engine, start_wireguard
from kos.network.namespaces import in_namespace, new_network_namespace, own_network_namespace
from kos.network.rtnl import Rtnl
from kos.network.sysctl import NO_IPV6, set_sysctl
from kos.network.wireguard import Change, Endpoint, Peer, batches
from kos.server.gateway import rules
from kos.server.gateway.names import NameServer
from kos.server.gateway.registry import DevicePeer, check_peers, difference
from kos.server.gateway.relay import Relay
from kos.server.gateway.settings import GatewaySettings

PEERS_PER_CHANGE = 500
SILENT_SECONDS = 240.0  # after the last handshake; WireGuard's sessions end after 180


@dataclass(frozen=True)
class PeerReport:
    """What the gateway knows of a device."""

    device: str
    endpoint: Endpoint | None
    last_handshake: float  # seconds since 1970; 0.0 is never
    rx_bytes: int
    tx_bytes: int


def anew(peers: tuple[Peer, ...]) -> Change:
    """Forget all that WireGuard knows of these peers, and let them connect."""
    return Change(remove=tuple(peer.public_key for peer in peers), peers=peers)


class Gateway:
    """A running gateway."""

    def __init__(self, settings: GatewaySettings, private_key: bytes, *, pump: Path, rootless: bool) -> None:
        """Start WireGuard; `open_services` and `set_peers` do the rest.

        Args:
            settings: see `GatewaySettings`.
            private_key: 32 bytes of X25519.
            pump: the program kos-pump.
            rootless: whether this process is root in its own user namespace only.
        """
        self.settings = settings
        self._peers: dict[bytes, DevicePeer] = {}
        self._made: dict[bytes, float] = {}  # when WireGuard last forgot what it knew; seconds since 1970
        self.namespace = new_network_namespace()
        # Where packets of the full size vanish on the way, TCP finds out by itself (RFC 4821).
        set_sysctl(self.namespace, {**NO_IPV6, "ipv4/ip_forward": "0", "ipv4/tcp_mtu_probing": "1"})
        nft.load(rules.render(settings), self.namespace)
        self._outside = None if rootless else own_network_namespace()
        self.engine: Engine = start_wireguard(self._outside, self.namespace, rules.INTERFACE, settings.mtu)
        self.engine.apply(Change(private_key=private_key, listen_port=settings.listen_port))
        rtnl = in_namespace(self.namespace, Rtnl)
        rtnl.set("lo", up=True)
        rtnl.add_address(rules.INTERFACE, settings.address)
        rtnl.close()
        self.relay = Relay(self.namespace, str(settings.address.ip), pump)
        self._names = NameServer(settings)

    @property
    def listen_port(self) -> int:
        """The UDP port that devices send to."""
        return self.engine.status().listen_port

    async def open_services(self) -> None:
        """Offer what the settings list, and the resolver."""
        for service in self.settings.services:
            await self.relay.listen(service)
        await self._names.listen(self.namespace)

    def set_peers(self, wanted: Iterable[DevicePeer]) -> tuple[int, int]:
        """Make these the devices that may connect; those that stay are not disturbed.

        Returns:
            How many were added or changed, and how many were removed.

        Raises:
            KosError: the list contradicts itself; nothing was changed.
        """
        network: IPv4Network = self.settings.address.network
        new = check_peers(wanted, network, f"{self.settings.address.ip}/32")
        changed, removed = difference(self._peers, new)
        # Removals first: an address may go from one device to another.
        if removed:
            self.engine.apply(Change(remove=tuple(removed)))
        peers = (Peer(peer.public_key, None, peer.addresses) for peer in changed)
        for batch in batches(peers, PEERS_PER_CHANGE):
            self.engine.apply(Change(peers=batch))
        now = time.time()
        self._made = {key: self._made.get(key, now) for key in new}
        self._peers = new
        return len(changed), len(removed)

    def forgive_clocks(self, now: float, silent: float = SILENT_SECONDS) -> int:
        """Let devices come back whose clock was set back, as after a start without a battery.

        WireGuard takes a handshake only when its time stamp is later than the last one (5.1 of its paper), so
        such a device is locked out, for years if it must be. A peer that has been silent for so long that its
        session is over is made anew, without the memory of the last time stamp. What that costs: somebody who
        recorded a handshake of that device can have it answered once, to no session and no data. A peer whose
        handshake never became a session counts from when it was made: its time stamp is remembered too.

        Args:
            now: seconds since 1970, by this machine's clock.
            silent: seconds since the last handshake, or since the peer was made.

        Returns:
            How many peers were made anew.
        """
        dead = [
            status.public_key
            for status in self.engine.status().peers
            if now - max(status.last_handshake, self._made.get(status.public_key, now)) > silent
        ]
        known = [self._peers[key] for key in dead if key in self._peers]
        for batch in batches((Peer(p.public_key, None, p.addresses) for p in known), PEERS_PER_CHANGE):
            self.engine.apply(anew(batch))
            self._made.update(dict.fromkeys((peer.public_key for peer in batch), now))
        return len(known)

    def reports(self) -> list[PeerReport]:
        """Every device that may connect, in the order of their names."""
        found = []
        for status in self.engine.status().peers:
            peer = self._peers.get(status.public_key)
            if peer is not None:
                found.append(
                    PeerReport(
                        peer.device, status.endpoint, status.last_handshake, status.rx_bytes, status.tx_bytes
                    )
                )
        return sorted(found, key=lambda report: report.device)

    def counters(self) -> dict[str, nft.Counter]:
        """What was accepted and refused, over all devices."""
        return nft.counters(rules.TABLE, self.namespace)

    async def close(self) -> None:
        await self.relay.close()
        self._names.close()
        self.engine.stop()
        if self._outside is not None:
            os.close(self._outside)
        os.close(self.namespace)
