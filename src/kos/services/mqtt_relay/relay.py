"""The relay's loop: apps' connections, the spool, the server. One thread, woken by descriptors and
deadlines.
"""

from __future__ import annotations

import random
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

from kos.abi.errors import KosError
from kos.services.mqtt_relay.client import Client
from kos.services.mqtt_relay.config import CLIENTS_MAX, RelayConfig
from kos.services.mqtt_relay.spool import Spool
from kos.services.mqtt_relay.upstream import CLOSED, OPEN, Upstream

RECONNECT_FIRST, RECONNECT_MAX = 1.0, 30.0  # seconds between two tries; doubles
CONNECT_SECONDS = 10.0
READ_MAX = 1 << 16  # bytes taken from a connection in one turn
UNSENT_MAX = (
    1 << 20
)  # bytes that wait for the server's connection before nothing more is taken from the spool
Say = Callable[[str], None]


class _Local:
    """An app's connection."""

    def __init__(self, connection: socket.socket, client: Client) -> None:
        self.socket = connection
        self.client = client


class Relay:
    """All of it. `snapshot` is what others may know, a fresh object at every change."""

    def __init__(self, config: RelayConfig, spool: Spool, upstream: Upstream, say: Say) -> None:
        self._config = config
        self._spool = spool
        self._upstream = upstream
        self._say = say
        self._selector = selectors.DefaultSelector()
        self._locals: dict[int, _Local] = {}
        self._server: socket.socket | None = None
        self._connecting_since: float | None = None
        self._unsent = bytearray()
        self._pause = RECONNECT_FIRST
        self._connect_at = 0.0
        self._dropped = spool.dropped
        self._complaint = ""
        self.snapshot: dict[str, Any] = {}
        self._publish_state()

    def listen(self, app: str, listener: socket.socket) -> None:
        """Take connections of an app from the socket in its namespace."""
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(app, listener))

    def run(self) -> None:
        """For ever."""
        while True:
            self.step()

    def step(self) -> None:
        """Do what is due, then wait for the next thing."""
        now = time.monotonic()
        deadline = self._tend_server(now)
        for local in list(self._locals.values()):
            if local.client.deadline is not None:
                if now >= local.client.deadline:
                    self._drop(local)
                else:
                    deadline = min(deadline, local.client.deadline)
        self._publish_state()
        for key, _ in self._selector.select(max(0.0, deadline - time.monotonic())):
            key.data()

    # --- apps -----------------------------------------------------------------------------------------
    def _accept(self, app: str, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if sum(local.client.app == app for local in self._locals.values()) >= CLIENTS_MAX:
            connection.close()
            return
        connection.setblocking(False)
        local = _Local(connection, Client(app, time.monotonic()))
        self._locals[connection.fileno()] = local
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._read(local))

    def _read(self, local: _Local) -> None:
        try:
            data = local.socket.recv(READ_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(local)
            return
        try:
            messages = local.client.receive(data, time.monotonic())
        except KosError as error:
            self._say(f"warn  {local.client.app}: {error}")
            self._drop(local)
            return
        if messages:
            try:
                self._spool.append([(message.kind, message.payload) for message in messages])
            except KosError as error:
                # Without an acknowledgement the app's library sends them again.
                self._complain(f"{error}; what {local.client.app} publishes is not acknowledged")
                self._drop(local)
                return
            self._complaint = ""
            if self._spool.dropped != self._dropped:
                self._say(f"warn  the spool is full: {self._spool.dropped - self._dropped} messages dropped")
                self._dropped = self._spool.dropped
            self._upstream.pump(time.monotonic())
        try:
            local.socket.sendall(local.client.release())
        except OSError:
            self._drop(local)  # an app that reads no acknowledgements
            return
        if local.client.ended:
            self._drop(local)

    def _complain(self, text: str) -> None:
        """Say it once, however often an app tries."""
        if text != self._complaint:
            self._say(f"warn  {text}")
        self._complaint = text

    def _drop(self, local: _Local) -> None:
        if self._locals.pop(local.socket.fileno(), None) is not None:
            self._selector.unregister(local.socket)
            local.socket.close()

    # --- server ---------------------------------------------------------------------------------------
    def _tend_server(self, now: float) -> float:
        if self._server is None:
            if now < self._connect_at:
                return self._connect_at
            self._open()
            return now + CONNECT_SECONDS
        if self._connecting_since is not None:
            if now - self._connecting_since > CONNECT_SECONDS:
                self._close("the server does not answer")
            return now + CONNECT_SECONDS
        try:
            due = self._upstream.tick(now)
        except KosError as error:
            self._close(error.message)
            return self._connect_at
        self._flush()
        return due

    def _open(self) -> None:
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._server.setblocking(False)
        self._connecting_since = time.monotonic()
        self._selector.register(self._server, selectors.EVENT_WRITE, self._connected)
        try:
            self._server.connect((self._config.host, self._config.port))
        except BlockingIOError:
            return  # `_connected` follows
        except OSError as error:
            self._close(str(error))

    def _connected(self) -> None:
        assert self._server is not None
        if code := self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._close(str(OSError(code)))
            return
        self._connecting_since = None
        self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._upstream.opened(time.monotonic())
        self._watch_server()

    def _watch_server(self) -> None:
        assert self._server is not None
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        self._selector.modify(self._server, events, self._serve)

    def _serve(self) -> None:
        assert self._server is not None
        try:
            data = self._server.recv(READ_MAX)
            if not data:
                self._close("the server closed the connection")
                return
            was = self._upstream.state
            self._upstream.receive(data, time.monotonic())
            if was != OPEN and self._upstream.state == OPEN:
                self._pause = RECONNECT_FIRST
                self._say(f"connected to {self._config.host}, {len(self._spool)} messages wait")
        except BlockingIOError:
            self._flush()
            return
        except (KosError, OSError) as error:
            self._close(str(error))
            return
        self._flush()

    def _flush(self) -> None:
        if self._server is None:
            return
        self._unsent += self._upstream.take_output()
        try:
            sent = self._server.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._close(str(error))
            return
        del self._unsent[:sent]
        if len(self._unsent) > UNSENT_MAX:
            self._close("the server takes nothing")
            return
        self._watch_server()

    def _close(self, reason: str) -> None:
        assert self._server is not None
        if self._upstream.state != CLOSED or self._pause == RECONNECT_FIRST:
            self._say(f"warn  not connected: {reason}; {len(self._spool)} messages wait")
        self._selector.unregister(self._server)
        self._server.close()
        self._server, self._connecting_since = None, None
        self._unsent.clear()
        self._upstream.closed(reason)
        self._connect_at = time.monotonic() + self._pause * (0.9 + 0.2 * random.random())
        self._pause = min(self._pause * 2, RECONNECT_MAX)

    def _publish_state(self) -> None:
        self.snapshot = {
            "connected": self._upstream.state == OPEN,
            "reason": self._upstream.reason,
            "waiting": len(self._spool),
            "dropped": self._spool.dropped,
            "stored": self._upstream.stored,
        }
