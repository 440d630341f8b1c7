"""The kernel's own WireGuard through generic netlink (linux/wireguard.h).

`change_messages` and `StatusReader` are pure; `KernelWireguard` owns one interface.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from kos.abi.errors import KosError
from kos.network import netlink
from kos.network.namespaces import in_namespace
from kos.network.netlink import Netlink, NetlinkError, attribute, attributes, nested
from kos.network.rtnl import Rtnl
from kos.network.wireguard import Change, Endpoint, Network, Peer, PeerStatus, Status, batches

FAMILY_NAME = "wireguard"
NETLINK_GENERIC = 16  # linux/netlink.h; the socket module does not name it
GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2
WG_CMD_GET_DEVICE, WG_CMD_SET_DEVICE, WG_VERSION = 0, 1, 1
DEVICE_IFNAME, DEVICE_PRIVATE_KEY, DEVICE_PUBLIC_KEY = 2, 3, 4
DEVICE_FLAGS, DEVICE_LISTEN_PORT, DEVICE_PEERS = 5, 6, 8
DEVICE_REPLACE_PEERS = 1
PEER_PUBLIC_KEY, PEER_FLAGS, PEER_ENDPOINT, PEER_KEEPALIVE = 1, 3, 4, 5
PEER_LAST_HANDSHAKE, PEER_RX_BYTES, PEER_TX_BYTES, PEER_ALLOWED_IPS = 6, 7, 8, 9
PEER_REMOVE, PEER_REPLACE_ALLOWED_IPS = 1, 2
ALLOWED_FAMILY, ALLOWED_ADDRESS, ALLOWED_MASK = 1, 2, 3
PEERS_PER_MESSAGE = 64  # an attribute holds at most 64 KiB
_GENERIC = struct.Struct("=BBH")


def _endpoint(endpoint: Endpoint) -> bytes:
    address = ip_address(endpoint.host)
    if address.version == 4:
        return (
            struct.pack("=H", socket.AF_INET) + struct.pack("!H", endpoint.port) + address.packed + bytes(8)
        )
    return (
        struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", endpoint.port, 0) + address.packed + bytes(4)
    )


def _allowed(network: Network) -> bytes:
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    return nested(
        0,
        attribute(ALLOWED_FAMILY, struct.pack("=H", family)),
        attribute(ALLOWED_ADDRESS, network.network_address.packed),
        attribute(ALLOWED_MASK, bytes([network.prefixlen])),
    )


def _peer(peer: Peer) -> bytes:
    parts = [attribute(PEER_PUBLIC_KEY, peer.public_key)]
    if peer.endpoint is not None:
        parts.append(attribute(PEER_ENDPOINT, _endpoint(peer.endpoint)))
    if peer.keepalive is not None:
        parts.append(attribute(PEER_KEEPALIVE, struct.pack("=H", peer.keepalive)))
    if peer.allowed_ips is not None:
        parts.append(attribute(PEER_FLAGS, PEER_REPLACE_ALLOWED_IPS))
        parts.append(nested(PEER_ALLOWED_IPS, *(_allowed(network) for network in peer.allowed_ips)))
    return nested(0, *parts)


def _removal(public_key: bytes) -> bytes:
    return nested(0, attribute(PEER_PUBLIC_KEY, public_key), attribute(PEER_FLAGS, PEER_REMOVE))


def change_messages(name: str, change: Change) -> Iterator[bytes]:
    """The attributes of each message that together make a change; the first carries the device's own."""
    head = [attribute(DEVICE_IFNAME, name)]
    if change.private_key is not None:
        head.append(attribute(DEVICE_PRIVATE_KEY, change.private_key))
    if change.listen_port is not None:
        head.append(attribute(DEVICE_LISTEN_PORT, struct.pack("=H", change.listen_port)))
    if change.replace_peers:
        head.append(attribute(DEVICE_FLAGS, DEVICE_REPLACE_PEERS))
    yield b"".join(head)
    here = attribute(DEVICE_IFNAME, name)
    for start in range(0, len(change.remove), PEERS_PER_MESSAGE):
        keys = change.remove[start : start + PEERS_PER_MESSAGE]
        yield here + nested(DEVICE_PEERS, *(_removal(key) for key in keys))
    for batch in batches(change.peers, PEERS_PER_MESSAGE):
        yield here + nested(DEVICE_PEERS, *(_peer(peer) for peer in batch))


def _read_endpoint(raw: bytes) -> Endpoint:
    (family,) = struct.unpack_from("=H", raw)
    (port,) = struct.unpack_from("!H", raw, 2)
    return Endpoint(str(ip_address(raw[4:8] if family == socket.AF_INET else raw[8:24])), port)


def _read_allowed(raw: bytes) -> Network:
    values = dict(attributes(raw))
    return ip_network((values[ALLOWED_ADDRESS], values[ALLOWED_MASK][0]))


def _read_peer(raw: bytes) -> PeerStatus:
    values = dict(attributes(raw))
    seconds, nanoseconds = struct.unpack("=qq", values.get(PEER_LAST_HANDSHAKE, bytes(16)))
    return PeerStatus(
        public_key=values[PEER_PUBLIC_KEY],
        endpoint=_read_endpoint(values[PEER_ENDPOINT]) if PEER_ENDPOINT in values else None,
        allowed_ips=tuple(_read_allowed(item) for _, item in attributes(values.get(PEER_ALLOWED_IPS, b""))),
        keepalive=struct.unpack("=H", values.get(PEER_KEEPALIVE, bytes(2)))[0],
        last_handshake=seconds + nanoseconds / 1e9,
        rx_bytes=struct.unpack("=Q", values.get(PEER_RX_BYTES, bytes(8)))[0],
        tx_bytes=struct.unpack("=Q", values.get(PEER_TX_BYTES, bytes(8)))[0],
    )


def read_status(answers: list[bytes]) -> Status:
    """The state from the answers of a dump; a peer with many addresses goes on in the next answer."""
    public_key, port = None, 0
    peers: list[PeerStatus] = []
    for answer in answers:
        for kind, value in attributes(answer[_GENERIC.size :]):
            if kind == DEVICE_PUBLIC_KEY:
                public_key = value
            elif kind == DEVICE_LISTEN_PORT:
                (port,) = struct.unpack("=H", value)
            elif kind == DEVICE_PEERS:
                for _, raw in attributes(value):
                    peer = _read_peer(raw)
                    if peers and peers[-1].public_key == peer.public_key:
                        allowed = peers[-1].allowed_ips + peer.allowed_ips
                        peers[-1] = PeerStatus(**{**vars(peers[-1]), "allowed_ips": allowed})
                    else:
                        peers.append(peer)
    return Status(public_key, port, tuple(peers))


class KernelWireguard:
    """A kernel interface in `inside` whose UDP socket stays in `outside`. A `Control`."""

    def __init__(self, outside: int, inside: int, name: str, mtu: int) -> None:
        """Make it; the arguments are those of `WireguardGo`.

        Raises:
            NetlinkError: with errno EOPNOTSUPP where the kernel has no WireGuard.
        """
        self.name = name
        birth_name = f"kosw{os.getpid()}"
        rtnl = in_namespace(outside, Rtnl)
        try:
            rtnl.add(birth_name, "wireguard")
            rtnl.set(birth_name, mtu=mtu)
            rtnl.move(birth_name, inside, name)
        finally:
            rtnl.close()
        self._rtnl = in_namespace(inside, Rtnl)
        self._rtnl.set(name, up=True)
        self._netlink = in_namespace(inside, lambda: Netlink(NETLINK_GENERIC))
        self._family = self._find_family()

    def _find_family(self) -> int:
        payload = _GENERIC.pack(CTRL_CMD_GETFAMILY, 1, 0) + attribute(CTRL_ATTR_FAMILY_NAME, FAMILY_NAME)
        for answer in self._netlink.request("find WireGuard", GENL_ID_CTRL, payload):
            found = dict(attributes(answer[_GENERIC.size :])).get(CTRL_ATTR_FAMILY_ID)
            if found:
                return int(struct.unpack("=H", found)[0])
        raise KosError("the kernel names no WireGuard family")

    def apply(self, change: Change) -> None:
        for message in change_messages(self.name, change):
            payload = _GENERIC.pack(WG_CMD_SET_DEVICE, WG_VERSION, 0) + message
            self._netlink.request(f"configure {self.name}", self._family, payload)

    def status(self) -> Status:
        payload = _GENERIC.pack(WG_CMD_GET_DEVICE, WG_VERSION, 0) + attribute(DEVICE_IFNAME, self.name)
        flags = netlink.NLM_F_ROOT_MATCH
        return read_status(self._netlink.request(f"read {self.name}", self._family, payload, flags))

    def stop(self) -> None:
        """Delete the interface."""
        self._rtnl.delete(self.name)
        self._rtnl.close()
        self._netlink.close()


def kernel_has_wireguard(namespace: int) -> bool:
    """Whether this kernel makes WireGuard interfaces in that namespace (it loads its module by itself)."""
    name = f"kosp{os.getpid()}"
    rtnl = in_namespace(namespace, Rtnl)
    try:
        rtnl.add(name, "wireguard")
        rtnl.delete(name)
    except NetlinkError:
        return False
    finally:
        rtnl.close()
    return True
