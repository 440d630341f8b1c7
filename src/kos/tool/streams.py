"""Streams of running apps for commands: over the control socket of a system here, or through a server.

A command that only speaks with a system here imports nothing of the server's client.
"""

from __future__ import annotations

import getpass
import json
import threading
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

from kos.abi.errors import KosError
from kos.device.control.stream import StreamReader
from kos.tool import runs
from kos.tool.server_client import ServerClient

OPEN_SECONDS = 20.0
MESSAGE_MAX = 1 << 20  # bytes of one message of a server


def open_local(system: str | None, kind: str, app: str) -> StreamReader:
    """A stream of an app of a system that runs on this machine."""
    return runs.connect(system).stream(kind, app, f"{getpass.getuser()} (on this machine)")


def open_remote(url: str | None, device: str, kind: str, app: str) -> StreamReader:
    """A stream of an app of a device, through its server."""
    client = ServerClient(url)
    return StreamReader(ServerCarrier(client, client.device(device)["id"], kind, app))


class ServerCarrier:
    """Over a WebSocket of a Studio or Fleet Server."""

    def __init__(self, client: ServerClient, device: str, kind: str, app: str) -> None:
        from websockets.exceptions import InvalidHandshake
        from websockets.sync.client import connect

        path = f"/api/v1/devices/{device}/streams/{kind}/{quote(app)}"
        headers = {"Authorization": f"Bearer {client.token}"} if client.token else {}
        self._held = ExitStack()
        try:
            self._socket = self._held.enter_context(
                connect(
                    client.url.replace("http", "ws", 1) + path,
                    additional_headers=headers,
                    open_timeout=OPEN_SECONDS,
                    max_size=MESSAGE_MAX,
                    compression=None,
                )
            )
        except InvalidHandshake as error:
            raise KosError(
                "the server does not let you look into apps",
                where=client.url,
                hint="a shell and a debugger need devices.debug (admin), a guest's console devices.operate",
            ) from error
        except (OSError, TimeoutError) as error:
            raise KosError(f"no answer: {error}", where=client.url) from error
        self._lock = threading.Lock()
        first = self._next()
        if not isinstance(first, dict) or "open" not in first:
            self._held.close()
            found = first if isinstance(first, dict) else {}
            raise KosError(str(found.get("closed", "the server closed it")), hint=found.get("hint"))

    def send_data(self, data: bytes) -> None:
        self._send(data)

    def send_more(self, count: int) -> None:
        self._send(json.dumps({"more": count}))

    def receive(self) -> tuple[bytes, int, str | None]:
        found = self._next()
        if isinstance(found, bytes):
            return found, 0, None
        return b"", int(found.get("more", 0)), found.get("closed")

    def close(self) -> None:
        self._held.close()

    def _next(self) -> bytes | dict[str, Any]:
        from websockets.exceptions import ConnectionClosed

        try:
            message = self._socket.recv()
        except ConnectionClosed as error:
            return {"closed": (error.rcvd.reason if error.rcvd else "") or "the server left"}
        return message if isinstance(message, bytes) else dict(json.loads(message))

    def _send(self, message: str | bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            with self._lock:
                self._socket.send(message)
        except ConnectionClosed as error:
            raise KosError("the server closed the stream") from error
