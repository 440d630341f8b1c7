"""The tunnel's interface in the hub: key, peer, state. Part of the keeper.

The private key goes from the key partition straight into WireGuard: neither the tunnel service nor any other
app ever sees it, and no answer carries it.
"""

from __future__ import annotations

import json
import os
import time
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from kos.abi import network as wire
from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.device.network import rules
from kos.device.network.hub import Hub
from kos.network.engine import Engine, start_wireguard
from kos.network.namespaces import own_network_namespace
from kos.network.wireguard import (
    KEEPALIVE_MAX,
    KEY_SIZE,
    Change,
    Peer,
    decode_key,
    encode_key,
    parse_endpoint,
)


def read_private_key(folder: Path) -> bytes:
    """The tunnel's private key from the key partition.

    Raises:
        KosError: none there, readable by others, or not 32 bytes.
    """
    path = folder / wire.TUNNEL_KEY_FILE
    try:
        if path.stat().st_mode & 0o077:
            raise KosError(
                "the tunnel's private key is readable by others", where=str(path), hint="chmod 600"
            )
        with path.open("rb") as file:
            key = file.read(KEY_SIZE + 1)
    except OSError as error:
        raise KosError(f"the tunnel has no private key: {error.strerror}", where=str(path)) from None
    if len(key) != KEY_SIZE:
        raise KosError(f"the tunnel's private key must be {KEY_SIZE} bytes", where=str(path))
    return key


def read_provisioned(folder: Path) -> dict[str, str]:
    """What provisioning said about the tunnel: `peer_endpoint`, `peer_public_key`, `network`; {} when
    nothing.

    Raises:
        KosError: a file that is too long or not what it must be.
    """
    path = folder / wire.PROVISIONED_FILE
    if not path.exists():
        return {}
    try:
        raw = read_bounded(path, wire.PROVISIONED_MAX)
    except OSError as error:
        raise KosError(f"cannot be read: {error.strerror}", where=str(path)) from error
    try:
        value = json.loads(raw)
        known = {"peer_endpoint", "peer_public_key", "network"}
        if not isinstance(value, dict) or not set(value) <= known:
            raise ValueError
        if not all(isinstance(text, str) for text in value.values()):
            raise ValueError
        ip_network(value.get("network", "0.0.0.0/0"))
    except (ValueError, RecursionError):
        raise KosError(
            "expected an object with peer_endpoint, peer_public_key, network", where=str(path)
        ) from None
    return value


class HandshakeAge:
    """How long ago the last handshake was, by a clock that never jumps.

    WireGuard tells the time of day, which is years off once a device without a battery has learnt the date.
    """

    def __init__(self) -> None:
        self._stamp = 0.0
        self._seen_at = 0.0

    def of(self, stamp: float, now: float) -> float | None:
        """The age in seconds; None without any.

        Args:
            stamp: WireGuard's time of the last handshake; 0.0 is never. Another one is another handshake.
            now: by the clock that never jumps.
        """
        if stamp != self._stamp:
            self._stamp, self._seen_at = stamp, now
        return now - self._seen_at if stamp else None


class Tunnel:
    """One WireGuard interface with one peer."""

    def __init__(self, hub: Hub, keys: Path, *, rootless: bool) -> None:
        """Start WireGuard; without a private key it comes up and stays silent until there is one.

        Args:
            hub: where the interface belongs.
            keys: the folder of the key partition.
            rootless: whether we may make no interfaces outside.
        """
        self._hub = hub
        self._keys = keys
        self._peer: bytes | None = None
        self._age = HandshakeAge()
        self._key_seen: tuple[int, int] | None = None
        self.key_problem: str | None = None
        self._outside = None if rootless else own_network_namespace()
        self.engine: Engine = start_wireguard(self._outside, hub.namespace, rules.TUNNEL, hub.plan.mtu)
        hub.connect_tunnel()
        self.follow_key()

    def follow_key(self) -> None:
        """Use the private key of the key partition; after the first time, only when its file has changed."""
        path = self._keys / wire.TUNNEL_KEY_FILE
        seen = (path.stat().st_ino, path.stat().st_mtime_ns) if path.is_file() else None
        if seen is not None and seen == self._key_seen:
            return
        try:
            self.engine.apply(Change(private_key=read_private_key(self._keys)))
            self._key_seen, self.key_problem = seen, None
        except KosError as error:
            self.key_problem = error.message

    def set_peer(self, request: dict[str, Any]) -> None:
        """Make this the one peer: a new endpoint for the same key keeps the session.

        Raises:
            KosError: a key, an endpoint or a keep-alive that is none.
        """
        public_key = decode_key(str(request.get("public_key")), "peer's public key")
        endpoint = parse_endpoint(str(request.get("endpoint")))
        keep_alive = request.get("keep_alive")
        if type(keep_alive) is not int or not 0 <= keep_alive <= KEEPALIVE_MAX:
            raise KosError(f"keep_alive: expected 0 to {KEEPALIVE_MAX} seconds")
        allowed = tuple(IPv4Network(text) for text in self._hub.plan.allowed_ips)
        fresh = self._peer != public_key or request.get("fresh") is True
        remove = (self._peer,) if self._peer is not None and fresh else ()
        self.engine.apply(Change(peers=(Peer(public_key, endpoint, allowed, keep_alive),), remove=remove))
        self._peer = public_key

    def status(self) -> dict[str, Any]:
        """The state as plain data; ages are in seconds."""
        self.follow_key()
        found = self.engine.status()
        peer = found.peer(self._peer) if self._peer else None
        answer: dict[str, Any] = {
            "public_key": encode_key(found.public_key) if found.public_key else "",
            "key_problem": self.key_problem or "",
            "peer": None,
            "addresses": self._hub.plan.addresses(),
            "provisioned": read_provisioned(self._keys),
        }
        if peer:
            answer["peer"] = {
                "public_key": encode_key(peer.public_key),
                "endpoint": str(peer.endpoint or ""),
                "handshake_age": self._age.of(peer.last_handshake, time.monotonic()),
                "rx_bytes": peer.rx_bytes,
                "tx_bytes": peer.tx_bytes,
            }
        return answer

    def close(self) -> None:
        self.engine.stop()
        if self._outside is not None:
            os.close(self._outside)
