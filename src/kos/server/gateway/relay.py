"""Connections of devices, carried to the server's own ports.

The listening sockets live in the gateway's namespace, the connections to the services do not: there is no
route between the two. A device whose service is down is told so at once. Here it is decided who is connected
to what; the bytes go through `pump`.
"""

from __future__ import annotations

import asyncio
import collections
import errno
import resource
import socket
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

from kos.network.namespaces import in_namespace
from kos.server.gateway.pump import Pump
from kos.server.gateway.settings import Service

BACKLOG = 1024
CONNECT_TIMEOUT = 10.0  # seconds
CONNECTIONS_MAX = 20_000  # at one time, over all services
ADDRESS_CONNECTIONS_MAX = 512  # of one app: it shuts nobody else out
OTHER_DESCRIPTORS = 128  # that this process has beside two for each connection
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
NO_ROOM_PAUSE = 1.0  # seconds without accepting, when the kernel has no room for another connection
# Where carried connections come from on the server's own machine: not from where the machine's people do,
# whom Studio takes at their word.
SOURCE = "127.0.0.2"


class Relay:
    """The services of one gateway.

    Attributes:
        carried: connections since the start.
        failed: connections whose service did not answer.
        refused: connections that were one too many.
    """

    def __init__(self, namespace: int, address: str, pump: Path) -> None:
        """`namespace` and `address` are the gateway's, `pump` is the program that carries the bytes."""
        self.carried = 0
        self.failed = 0
        self.refused = 0
        self._namespace = namespace
        self._address = address
        self._program = pump
        self._max = min(CONNECTIONS_MAX, (descriptors() - OTHER_DESCRIPTORS) // 2)
        self._open: dict[int, str] = {}  # the pump's number, and from which address it is
        self._connecting = 0
        self._of = collections.Counter[str]()  # how many an address has
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._pump: Pump | None = None

    async def listen(self, service: Service) -> None:
        """Offer a service to devices."""
        loop = asyncio.get_running_loop()
        if self._pump is None:
            self._pump = Pump(self._program, self._lost)

        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((self._address, service.port))
            return made

        listener = in_namespace(self._namespace, make)
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._listeners.append(listener)
        loop.add_reader(listener, self._accept, listener, service)

    def _accept(self, listener: socket.socket, service: Service) -> None:
        loop = asyncio.get_running_loop()
        try:
            device, (address, _port) = listener.accept()
        except OSError as error:  # BlockingIOError and ConnectionAbortedError: it is gone again
            if error.errno in NO_ROOM:
                loop.remove_reader(listener)
                loop.call_later(NO_ROOM_PAUSE, self._accept_again, listener, service)
            return
        if self.open_connections >= self._max or self._of[address] >= ADDRESS_CONNECTIONS_MAX:
            self.refused += 1
            device.close()
            return
        self.carried += 1
        self._connecting += 1
        self._of[address] += 1
        task = loop.create_task(self._connect(device, address, service))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept_again(self, listener: socket.socket, service: Service) -> None:
        if listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener, service)

    async def _connect(self, device: socket.socket, address: str, service: Service) -> None:
        """Connect to the service; what the device has said by then waits in its socket."""
        assert self._pump is not None
        inner = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                inner = await reach(service)
            self._open[self._pump.carry(device, inner)] = address
        except BaseException as error:
            for sock in (device, inner):
                if sock is not None:
                    sock.close()
            self._forget(address)
            if not isinstance(error, (OSError, TimeoutError)):
                raise
            self.failed += 1
        finally:
            self._connecting -= 1

    def _lost(self, number: int) -> None:
        """The pump has no such pair any more."""
        self._forget(self._open.pop(number))

    def _forget(self, address: str) -> None:
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]

    @property
    def open_connections(self) -> int:
        return len(self._open) + self._connecting

    def ports(self) -> list[int]:
        """Of the services, in the order in which they are offered."""
        return [listener.getsockname()[1] for listener in self._listeners]

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pump is not None:
            self._pump.close()
        self._open.clear()
        self._of.clear()


def descriptors() -> int:
    """How many descriptors this process may have, after asking for all that it can get."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 2 * CONNECTIONS_MAX + OTHER_DESCRIPTORS


async def reach(service: Service) -> socket.socket:
    """A connection to a service.

    Raises:
        OSError: from none of its addresses.
    """
    loop = asyncio.get_running_loop()
    last = OSError(f"{service.host} has no address")
    for family, kind, _protocol, _name, target in await addresses(service):
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            if ip_address(target[0]).is_loopback:
                sock.bind((SOURCE, 0))  # which fails for ::1: it has no other name for itself
            await loop.sock_connect(sock, target)
            return sock
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
    raise last


async def addresses(service: Service) -> list[tuple[Any, ...]]:
    """As of getaddrinfo; an address that is written as such needs no asking."""
    try:
        IPv4Address(service.host)
    except ValueError:
        loop = asyncio.get_running_loop()
        return list(await loop.getaddrinfo(service.host, service.target_port, type=socket.SOCK_STREAM))
    target = (service.host, service.target_port)
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", target)]
