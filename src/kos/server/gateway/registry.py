"""Which devices may connect: a file that somebody else writes, by hand or, for the servers' gateway, from
their database.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.network.wireguard import decode_key

PEERS_MAX = 100_000
ADDRESSES_MAX = 64  # networks of one device
FILE_MAX = 64 << 20  # bytes


@dataclass(frozen=True)
class DevicePeer:
    """A device as the gateway sees it: the key that proves who it is, and the addresses that are its own."""

    device: str
    public_key: bytes
    addresses: tuple[IPv4Network, ...]


def parse_peer(device: str, entry: object, where: str) -> DevicePeer:
    """One entry of the file.

    Raises:
        KosError: unknown or impossible settings.
    """
    if not isinstance(entry, dict) or set(entry) != {"public_key", "addresses"}:
        raise KosError(f"{device}: expected public_key and addresses", where=where)
    addresses = entry["addresses"]
    if not isinstance(addresses, list) or not 0 < len(addresses) <= ADDRESSES_MAX:
        raise KosError(f"{device}: expected 1 to {ADDRESSES_MAX} addresses", where=where)
    try:
        networks = tuple(IPv4Network(text) for text in addresses)
    except (ValueError, TypeError):
        raise KosError(f"{device}: addresses are IPv4 networks such as 10.90.1.2/32", where=where) from None
    return DevicePeer(device, decode_key(str(entry["public_key"]), f"public key of {device}"), networks)


class FilePeers:
    """Peers from a JSON file: device → {"public_key": base64, "addresses": ["10.90.1.2/32"]}."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def peers(self) -> list[DevicePeer]:
        """Read the file anew.

        Raises:
            KosError: it cannot be read, is too long, or an entry is wrong.
        """
        where = str(self.path)
        try:
            raw = read_bounded(self.path, FILE_MAX)
        except OSError as error:
            raise KosError(f"the list of devices cannot be read: {error.strerror}", where=where) from None
        try:
            table = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise KosError(f"the list of devices is not JSON: {error}", where=where) from None
        if not isinstance(table, dict):
            raise KosError("expected an object of devices", where=where)
        return [parse_peer(device, entry, where) for device, entry in table.items()]


def check_peers(peers: Iterable[DevicePeer], own: IPv4Network, gateway: str) -> dict[bytes, DevicePeer]:
    """Peers by their keys; every address belongs to one device only and to the gateway's network.

    Raises:
        KosError: too many, a key or an address twice, an address outside or the gateway's own.
    """
    checked: dict[bytes, DevicePeer] = {}
    taken: list[tuple[int, int, str]] = []
    for peer in peers:
        if len(checked) >= PEERS_MAX:
            raise KosError(f"more than {PEERS_MAX} devices")
        if peer.public_key in checked:
            raise KosError(f"{peer.device} and {checked[peer.public_key].device} have the same public key")
        for network in peer.addresses:
            if not network.subnet_of(own):
                raise KosError(f"{peer.device}: {network} is outside the gateway's network {own}")
            taken.append((int(network.network_address), int(network.broadcast_address), peer.device))
        checked[peer.public_key] = peer
    own_address = int(IPv4Network(gateway).network_address)
    taken.append((own_address, own_address, "the gateway"))
    taken.sort()
    for (_, end, first), (start, _, second) in itertools.pairwise(taken):
        if start <= end:
            raise KosError(f"{first} and {second} share the address {IPv4Network(start).network_address}")
    return checked


def difference(
    old: Mapping[bytes, DevicePeer], new: Mapping[bytes, DevicePeer]
) -> tuple[list[DevicePeer], list[bytes]]:
    """What to add or change, and the keys to remove."""
    return [peer for key, peer in new.items() if old.get(key) != peer], [key for key in old if key not in new]
