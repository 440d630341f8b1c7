"""Connections of devices, carried to the server's own ports.

The listening sockets live in the gateway's namespace, the connections to the services do not: there is no
route between the two. A device whose service is down is told so at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from kos.network.namespaces import in_namespace
from kos.server.gateway.settings import Service

BACKLOG = 1024
CONNECT_TIMEOUT = 10.0  # seconds
CONNECTIONS_MAX = 20_000  # at one time, over all services
# Where carried connections come from on the server's own machine: not from where the machine's people do,
# whom Studio takes at their word.
SOURCE = "127.0.0.2"
HIGH_WATER = 256 << 10  # bytes waiting for one side before the other is no longer read


class _Side(asyncio.Protocol):
    """One end of a carried connection: what it hears, the other end says."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self._on_lost = on_lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        if (
            self.other is not None
            and self.other.transport is not None
            and self.other.transport.can_write_eof()
        ):
            with contextlib.suppress(OSError):
                self.other.transport.write_eof()
        return True  # the other direction may go on

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()
        self._on_lost()


class _Device(_Side):
    """The device's end; it is not read until the service has answered."""

    def __init__(self, relay: Relay, service: Service) -> None:
        super().__init__(lambda: relay.lost(self))
        self._relay = relay
        self._service = service

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        if not self._relay.accepted(self):
            self.transport.abort()
            return
        # Not now: Debian 12's Python 3.11.2 starts to read after this call, whatever it asked for.
        # What is called soon comes before anything is read.
        asyncio.get_running_loop().call_soon(self.transport.pause_reading)
        self._relay.run(self._connect())

    async def _connect(self) -> None:
        assert self.transport is not None
        loop = asyncio.get_running_loop()
        service = self._service
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, inner = await loop.create_connection(
                    lambda: _Side(lambda: None),
                    service.host,
                    service.target_port,
                    local_addr=(SOURCE, 0) if service.host.startswith("127.") else None,
                )
        except (OSError, TimeoutError):
            self._relay.failed += 1
            self.transport.abort()
            return
        self.other, inner.other = inner, self
        if self.transport.is_closing():
            assert inner.transport is not None
            inner.transport.close()
        else:
            self.transport.resume_reading()


class Relay:
    """The services of one gateway.

    Attributes:
        carried: connections since the start.
        failed: connections whose service did not answer.
    """

    def __init__(self, namespace: int, address: str) -> None:
        self.carried = 0
        self.failed = 0
        self._namespace = namespace
        self._address = address
        self._devices: set[_Device] = set()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, service: Service) -> None:
        """Offer a service to devices."""

        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((self._address, service.port))
            return made

        listener = in_namespace(self._namespace, make)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Device(self, service), sock=listener, backlog=BACKLOG)
        self._servers.append(server)

    def accepted(self, device: _Device) -> bool:
        """Count a connection; False when there are too many."""
        if len(self._devices) >= CONNECTIONS_MAX:
            return False
        self._devices.add(device)
        self.carried += 1
        return True

    def lost(self, device: _Device) -> None:
        self._devices.discard(device)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine and keep it until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def open_connections(self) -> int:
        return len(self._devices)

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        for device in list(self._devices):
            if device.transport is not None:
                device.transport.abort()
        await asyncio.sleep(0)  # let the transports say that they are gone
