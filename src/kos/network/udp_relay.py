"""WireGuard's UDP packets across a border that an ordinary user may not open: a user's network namespace.

As root, wireguard-go has its UDP socket outside and its interface inside. An ordinary user cannot put an
interface outside, so wireguard-go runs in a namespace that holds nothing but a loopback, and this carries its
packets: each remote address has an alias in 127.0.0.0/8 there, and the two are exchanged in both directions.
It carries bytes that are encrypted and authenticated; it need not understand or trust them.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

from kos.network.namespaces import in_namespace
from kos.network.wireguard import Endpoint

INSIDE_PORT = 51820  # where wireguard-go listens on the loopback of its namespace
RELAY_PORT = 51821  # where this does
PACKET_MAX = 65535  # bytes
ALIASES_MAX = 1 << 16  # remote addresses; the one that was silent longest goes first
BUFFER_SIZE = 4 << 20  # bytes of a socket's queue
IP_PKTINFO = 8  # linux/in.h; the socket module does not name it
_FIRST_ALIAS = int(IPv4Address("127.1.0.0"))
_PKTINFO = struct.Struct("=i4s4s")  # interface, local address, destination address
_BATCH = 64  # packets from one side before the other has its turn

Remote = tuple[str, int]


class Aliases:
    """Remote addresses and their aliases, at most `limit`. Safe for two threads."""

    def __init__(self, limit: int = ALIASES_MAX) -> None:
        self._limit = limit
        self._by_remote: OrderedDict[Remote, bytes] = OrderedDict()
        self._by_alias: dict[bytes, Remote] = {}
        self._lock = threading.Lock()

    def alias(self, remote: Remote) -> bytes:
        """The alias of a remote address, made if there is none."""
        with self._lock:
            found = self._by_remote.get(remote)
            if found is not None:
                self._by_remote.move_to_end(remote)
                return found
            if len(self._by_remote) < self._limit:
                alias = (_FIRST_ALIAS + len(self._by_remote)).to_bytes(4, "big")
            else:
                _oldest, alias = self._by_remote.popitem(last=False)
            self._by_remote[remote] = alias
            self._by_alias[alias] = remote
            return alias

    def remote(self, alias: bytes) -> Remote | None:
        with self._lock:
            return self._by_alias.get(alias)


class UdpRelay:
    """Carries packets between `outside_socket` and wireguard-go in a namespace, in a thread of its own."""

    def __init__(self, namespace: int, listen_port: int = 0) -> None:
        """Start it.

        Args:
            namespace: descriptor of the one in which wireguard-go has its UDP socket, at `INSIDE_PORT`.
            listen_port: where peers reach us from outside; 0 is any.
        """
        self._aliases = Aliases()
        self._inside = in_namespace(namespace, lambda: _udp_socket(socket.AF_INET))
        self._inside.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self._inside.bind(("0.0.0.0", RELAY_PORT))
        self._outside = {socket.AF_INET: _udp_socket(socket.AF_INET)}
        self._outside[socket.AF_INET].bind(("0.0.0.0", listen_port))
        self.listen_port: int = self._outside[socket.AF_INET].getsockname()[1]
        with contextlib.suppress(OSError):  # a machine without IPv6
            six = _udp_socket(socket.AF_INET6)
            six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            six.bind(("::", self.listen_port))
            self._outside[socket.AF_INET6] = six
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="udp-relay", daemon=True)
        self._thread.start()

    def inside_endpoint(self, remote: Endpoint) -> Endpoint:
        """Where wireguard-go must send so that the packets reach `remote`."""
        alias = self._aliases.alias((str(ip_address(remote.host)), remote.port))
        return Endpoint(socket.inet_ntoa(alias), RELAY_PORT)

    def outside_endpoint(self, inside: Endpoint) -> Endpoint | None:
        """The remote address behind an endpoint that wireguard-go names."""
        if ":" in inside.host:
            return None
        found = self._aliases.remote(socket.inet_aton(inside.host))
        return Endpoint(*found) if found else None

    def close(self) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        for each in (self._inside, *self._outside.values()):
            each.close()
        os.close(self._stop_read)
        os.close(self._stop_write)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop_read, selectors.EVENT_READ)
            selector.register(self._inside, selectors.EVENT_READ)
            for each in self._outside.values():
                selector.register(each, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._inside:
                        _drain(self._to_outside)
                    elif isinstance(key.fileobj, socket.socket):
                        outside = key.fileobj
                        _drain(lambda: self._to_inside(outside))  # noqa: B023 - called at once
                    else:
                        return

    def _to_outside(self) -> None:
        data, ancillary, _flags, _from = self._inside.recvmsg(PACKET_MAX, 64)
        for level, kind, value in ancillary:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                remote = self._aliases.remote(_PKTINFO.unpack(value[: _PKTINFO.size])[2])
                if remote is None:
                    return
                sender = self._outside.get(socket.AF_INET6 if ":" in remote[0] else socket.AF_INET)
                if sender is not None:
                    # UDP may lose packets: a full queue, no route or a link that is down loses this one.
                    with contextlib.suppress(OSError):
                        sender.sendto(data, remote)

    def _to_inside(self, outside: socket.socket) -> None:
        data, remote = outside.recvfrom(PACKET_MAX)
        alias = self._aliases.alias((remote[0], remote[1]))
        info = (socket.IPPROTO_IP, IP_PKTINFO, _PKTINFO.pack(0, alias, bytes(4)))
        with contextlib.suppress(OSError):
            self._inside.sendmsg([data], [info], 0, ("127.0.0.1", INSIDE_PORT))


def _udp_socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFER_SIZE)
    return made


def _drain(step: Callable[[], None]) -> None:
    for _ in range(_BATCH):
        try:
            step()
        except BlockingIOError:
            return
        except ConnectionError:
            continue  # an ICMP error about an earlier packet
