"""The supervisor's control socket: one JSON object a line in, answers and streams of lines out.

Anyone who may open the socket may give orders; an app with the `supervisor` resource has a connection of its
own that takes only some. Every connection is bounded: one that does not read is closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.device.control.address import short_address
from kos.device.loop import Loop

REQUEST_BYTES_MAX = 65536  # of one request
UNREAD_BYTES_MAX = 4 << 20  # that a connection may leave unread before it is closed
CONNECTIONS_MAX = 64
_TURN_BYTES = 65536
_RETRY_SECONDS = 0.02  # before what a slow reader left no room for is tried again

Operation = Callable[[dict[str, Any], "Stream"], None]


class Stream:
    """One connection: its requests in, answers and events out."""

    def __init__(
        self, server: ControlServer, connection: socket.socket, allowed: frozenset[str] | None
    ) -> None:
        self._server = server
        self._connection = connection
        self._allowed = allowed
        self._in = bytearray()
        self._out = bytearray()
        self._retrying = False
        self._closers: list[Callable[[], None]] = []
        self._open = True
        connection.setblocking(False)
        server.loop.watch(connection.fileno(), self._read)

    @property
    def unread(self) -> int:
        """Bytes that wait for the reader."""
        return len(self._out)

    def answer(self, members: dict[str, Any]) -> None:
        self.send({"ok": True, **members})

    def hand_over(self, descriptor: int) -> None:
        """Answer with an open descriptor. Not while something waits to be read: they come together."""
        line = json.dumps({"ok": True}).encode() + b"\n"
        try:
            if (
                not self._open
                or self._out
                or socket.send_fds(self._connection, [line], [descriptor]) != len(line)
            ):
                self.fail("the connection is busy", "ask again")
        except OSError as error:
            self.fail(f"the connection cannot take it: {error.strerror}", None)

    def fail(self, message: str, hint: str | None) -> None:
        self.send({"ok": False, "error": {"message": message, "hint": hint}})

    def send(self, value: dict[str, Any]) -> None:
        """Send without waiting; what does not fit now goes later, up to a limit."""
        if self._open:
            self._out += json.dumps(value).encode() + b"\n"
            self._flush()

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back when it closes; at once when it has closed already."""
        if self._open:
            self._closers.append(callback)
        else:
            callback()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._server.loop.unwatch(self._connection.fileno())
            self._connection.close()
            self._server.streams.discard(self)
            for callback in self._closers:
                callback()

    def finish(self) -> None:
        """Send what is left, waiting a little for a reader, then close."""
        if self._open:
            self._connection.settimeout(_RETRY_SECONDS)
            with contextlib.suppress(OSError):
                self._connection.sendall(self._out)
            self.close()

    def _flush(self) -> None:
        try:
            while self._out:
                del self._out[: self._connection.send(self._out)]
        except BlockingIOError:
            if len(self._out) > UNREAD_BYTES_MAX:
                self.close()
            elif not self._retrying:
                self._retrying = True
                self._server.loop.call_later(_RETRY_SECONDS, self._retry)
        except OSError:
            self.close()

    def _retry(self) -> None:
        self._retrying = False
        if self._open:
            self._flush()

    def _read(self) -> None:
        try:
            data = self._connection.recv(_TURN_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._in += data
        while self._open and (end := self._in.find(b"\n")) >= 0:
            line = bytes(self._in[:end])
            del self._in[: end + 1]
            self._request(line)
        if self._open and len(self._in) > REQUEST_BYTES_MAX:
            self.fail(f"a request of over {REQUEST_BYTES_MAX} bytes", None)
            self.close()

    def _request(self, line: bytes) -> None:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("op"), str):
            self.fail('a request must be a JSON object with an "op"', None)
            return
        name = request["op"]
        operation = self._server.operations.get(name)
        if operation is None:
            self.fail(
                f"there is no operation {name!r}", f"operations: {', '.join(sorted(self._server.operations))}"
            )
        elif self._allowed is not None and name not in self._allowed:
            self.fail(f"this connection may not ask for {name!r}", None)
        else:
            operation(request, self)


class ControlServer:
    """Listens on `path` and runs `operations` for whoever asks."""

    def __init__(self, loop: Loop, path: Path, operations: dict[str, Operation]) -> None:
        self.loop = loop
        self.operations = operations
        self.streams: set[Stream] = set()
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        with short_address(path) as address:
            _refuse_if_served(path, address)
            path.unlink(missing_ok=True)
            previous = os.umask(0o177)
            try:
                self._listener.bind(address)
            finally:
                os.umask(previous)
        self._listener.listen()
        self._listener.setblocking(False)
        loop.watch(self._listener.fileno(), self._accept)

    def connection_for(self, app: str, allowed: frozenset[str]) -> socket.socket:
        """The far end of a connection that may ask only for some operations."""
        ours, theirs = socket.socketpair()
        self.streams.add(Stream(self, ours, allowed))
        return theirs

    def close(self) -> None:
        for stream in tuple(self.streams):
            stream.finish()
        self.loop.unwatch(self._listener.fileno())
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        if len(self.streams) >= CONNECTIONS_MAX:
            connection.close()
            return
        self.streams.add(Stream(self, connection, None))


def _refuse_if_served(path: Path, address: str) -> None:
    """A socket that answers belongs to a running system; one that does not is left over."""
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(address) == 0:
            raise KosError(
                "a system is running there already", where=str(path), hint="stop it first: kos-tool stop"
            )
