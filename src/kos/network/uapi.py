"""WireGuard's text protocol for userspace implementations (https://www.wireguard.com/xplatform/).

`set_request` and `parse_status` are pure; `UapiControl` speaks them over the socket of one interface.
"""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_network
from pathlib import Path

from kos.abi.errors import KosError
from kos.network.wireguard import Change, Network, PeerStatus, Status, parse_endpoint

ANSWER_MAX = 64 << 20  # bytes; 10,000 peers with a few addresses each take 4 MiB
TIMEOUT = 10.0  # seconds


def set_request(change: Change) -> str:
    """The `set` request that makes a change."""
    lines = ["set=1"]
    if change.private_key is not None:
        lines.append(f"private_key={change.private_key.hex()}")
    if change.listen_port is not None:
        lines.append(f"listen_port={change.listen_port}")
    if change.replace_peers:
        lines.append("replace_peers=true")
    for public_key in change.remove:
        lines += [f"public_key={public_key.hex()}", "remove=true"]
    for peer in change.peers:
        lines.append(f"public_key={peer.public_key.hex()}")
        if peer.endpoint is not None:
            lines.append(f"endpoint={peer.endpoint}")
        if peer.keepalive is not None:
            lines.append(f"persistent_keepalive_interval={peer.keepalive}")
        if peer.allowed_ips is not None:
            lines.append("replace_allowed_ips=true")
            lines += [f"allowed_ip={network}" for network in peer.allowed_ips]
    return "\n".join([*lines, "", ""])


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = [line.partition("=") for line in text.split("\n") if line]
    return [(key, value) for key, _, value in pairs]


def _errno(pairs: list[tuple[str, str]]) -> int:
    if not pairs or pairs[-1][0] != "errno":
        raise KosError("the WireGuard process gave an answer without an error number")
    return int(pairs[-1][1])


def parse_status(text: str) -> Status:
    """The answer to `get=1`.

    Raises:
        KosError: an answer that says it failed, or that is not one.
    """
    pairs = _pairs(text)
    if code := _errno(pairs):
        raise KosError(f"the WireGuard process refused to show its state (error {code})")
    public_key: bytes | None = None
    listen_port = 0
    peers: list[dict[str, str]] = []
    allowed: list[list[Network]] = []
    for key, value in pairs:
        if key == "private_key":
            public_key = _public_of(bytes.fromhex(value))
        elif key == "listen_port":
            listen_port = int(value)
        elif key == "public_key":
            peers.append({key: value})
            allowed.append([])
        elif key == "allowed_ip":
            allowed[-1].append(ip_network(value))
        elif peers:
            peers[-1][key] = value
    found = tuple(_peer(raw, tuple(networks)) for raw, networks in zip(peers, allowed, strict=True))
    return Status(public_key, listen_port, found)


def _public_of(private_key: bytes) -> bytes | None:
    if not any(private_key):
        return None
    # Imported late: only a status that someone asks for needs it, and a device starts without.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def _peer(raw: dict[str, str], allowed: tuple[Network, ...]) -> PeerStatus:
    seconds = int(raw.get("last_handshake_time_sec", 0)) + int(raw.get("last_handshake_time_nsec", 0)) / 1e9
    return PeerStatus(
        public_key=bytes.fromhex(raw["public_key"]),
        endpoint=parse_endpoint(raw["endpoint"]) if "endpoint" in raw else None,
        allowed_ips=allowed,
        keepalive=int(raw.get("persistent_keepalive_interval", 0)),
        last_handshake=seconds,
        rx_bytes=int(raw.get("rx_bytes", 0)),
        tx_bytes=int(raw.get("tx_bytes", 0)),
    )


class UapiControl:
    """One interface of a userspace implementation, by the path of its socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def apply(self, change: Change) -> None:
        answer = self._ask(set_request(change))
        if code := _errno(_pairs(answer)):
            if code == -errno.EADDRINUSE and change.listen_port:
                hint = "end what has it, perhaps another gateway, or choose another port"
                raise KosError(f"UDP port {change.listen_port} is in use", hint=hint)
            raise KosError(f"the WireGuard process refused the configuration (error {code})")

    def status(self) -> Status:
        return parse_status(self._ask("get=1\n\n"))

    def _ask(self, request: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(str(self.path))
            connection.sendall(request.encode())
            answer = bytearray()
            while not answer.endswith(b"\n\n"):
                part = connection.recv(1 << 16)
                if not part:
                    break
                answer += part
                if len(answer) > ANSWER_MAX:
                    raise KosError(f"the WireGuard process answered more than {ANSWER_MAX} bytes")
        return answer.decode()
