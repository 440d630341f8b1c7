"""The tunnels of devices: which key and which addresses belong to whom, and who may use the gateway now."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.network.wireguard import decode_key, encode_key
from kos.server.core.auth import audit
from kos.server.core.auth.permissions import Principal
from kos.server.core.db.models import Device, PreauthorisedKey, TunnelPeer
from kos.server.core.devices.identity import ACCEPTED
from kos.server.core.problems import Conflict
from kos.server.gateway.registry import DevicePeer

PREFIX = 28  # bits of a device's network where nobody says which: 14 apps with an address


class Networks:
    """The addresses behind one gateway and who has which, as the database says at one moment."""

    def __init__(self, session: Session, gateway: IPv4Interface) -> None:
        self._whole = gateway.network
        self._taken: list[tuple[int, int, str]] = []  # first and last address, whose; no two overlap
        self._add(IPv4Network((gateway.ip, 32)), "")
        for device, text in session.execute(select(TunnelPeer.device_id, TunnelPeer.network)):
            self._add(IPv4Network(text), device)
        size = 1 << 32 - max(PREFIX, self._whole.prefixlen)
        first, last = int(self._whole.network_address), int(self._whole.broadcast_address)
        self._fresh = iter(range(first, last + 1, size))
        self._size = size

    def _add(self, network: IPv4Network, device: str) -> None:
        bisect.insort(self._taken, (int(network.network_address), int(network.broadcast_address), device))

    def _owners(self, first: int, last: int) -> Iterator[str]:
        """Whose addresses are in a range."""
        index = bisect.bisect_left(self._taken, (first,))
        for start, end, device in self._taken[max(0, index - 1) :]:
            if start > last:
                return
            if end >= first:
                yield device

    def take(self, device: str, wanted: str) -> IPv4Network:
        """The network `wanted` for a device, "" for any that is free.

        Raises:
            KosError: not a network, outside the gateway's, or none is left.
            Conflict: another device's, or the gateway's.
        """
        network = self._parse(wanted) if wanted else self._free()
        for owner in self._owners(int(network.network_address), int(network.broadcast_address)):
            if owner != device:
                raise Conflict(f"{network} is taken")
        self._add(network, device)
        return network

    def _parse(self, text: str) -> IPv4Network:
        try:
            network = IPv4Network(text)
        except ValueError:
            raise KosError(f"expected a network such as 10.90.7.0/28, found {text[:40]!r}") from None
        if not network.subnet_of(self._whole):
            raise KosError(f"{network} is outside the gateway's network {self._whole}")
        return network

    def _free(self) -> IPv4Network:
        for first in self._fresh:
            if not any(True for _ in self._owners(first, first + self._size - 1)):
                return IPv4Network((first, 33 - self._size.bit_length()))
        raise KosError(
            f"no addresses are left in {self._whole}", hint="KOS_SERVER_GATEWAY_ADDRESS with a wider mask"
        )


def parse_key(text: str) -> str:
    """A tunnel's public key in the form in which it is kept: from base64, or from hexadecimal as
    `bootstrap` prints.

    Raises:
        KosError: neither.
    """
    if len(text) == 64:
        try:
            return encode_key(bytes.fromhex(text))
        except ValueError:
            raise KosError("the tunnel's public key has 64 characters and is not hexadecimal") from None
    return encode_key(decode_key(text, "tunnel's public key"))


def set_tunnel(
    session: Session, principal: Principal, networks: Networks, device: str, public_key: str, wanted: str
) -> TunnelPeer:
    """Give a device its tunnel, or another key or other addresses.

    Raises:
        KosError: no key, or no such network.
        Conflict: the key or the network is another device's.
    """
    key = parse_key(public_key)
    other = session.scalar(select(TunnelPeer).where(TunnelPeer.public_key == key))
    if other is not None and other.device_id != device:
        raise Conflict(f"the tunnel's key {key[:8]}… is another device's")
    peer = session.get(TunnelPeer, device)
    if peer is None:
        network = networks.take(device, wanted)
        peer = TunnelPeer(
            device_id=device,
            organisation_id=principal.organisation_id,
            public_key=key,
            network=str(network),
        )
        session.add(peer)
    else:
        peer.public_key = key
        if wanted:
            peer.network = str(networks.take(device, wanted))
    audit.record(session, principal, "device.tunnel", device, public_key=key, network=peer.network)
    session.flush()
    return peer


def move_tunnel(session: Session, old: str, new: str) -> None:
    """The tunnel of a device that has a new identity."""
    peer = session.get(TunnelPeer, old)
    if peer is not None:
        peer.device_id = new


def allowed(session: Session) -> list[DevicePeer]:
    """The devices that may use the gateway now: accepted ones, and those that are announced and have not
    shown up.
    """
    announced = {
        nkey.device_id(nkey.decode(key)) for key in session.scalars(select(PreauthorisedKey.public_key))
    }
    chosen = (
        select(TunnelPeer, Device.status)
        .outerjoin(Device, Device.id == TunnelPeer.device_id)
        .where(or_(Device.status == ACCEPTED, Device.id.is_(None)))
        .order_by(TunnelPeer.device_id)
    )
    return [
        DevicePeer(peer.device_id, decode_key(peer.public_key), (IPv4Network(peer.network),))
        for peer, status in session.execute(chosen)
        if status == ACCEPTED or peer.device_id in announced
    ]
