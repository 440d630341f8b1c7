"""What an app author imports on the device: ports, tokens, messages, the log, settings.

Small on purpose: an app must start in tens of milliseconds on a small board, so nothing here imports asyncio,
dataclasses or typing, and what few apps need is a module of its own (`kos.app.typed`, `kos.app.smbus`).
"""

from __future__ import annotations

import os

from kos.abi.message import FLAG_SEND_PAYLOAD, FLAG_SEND_TOKEN, PAYLOAD_MAX_SIZE
from kos.abi.services import PORT_RNG, RNG_READ
from kos.abi.status import Status
from kos.app import _native
from kos.app.server import Connection, Request, Server
from kos.app.status import StatusError
from kos.app.token import Message, Token, connect, create_buffer

__all__ = [
    "FLAG_SEND_PAYLOAD",
    "FLAG_SEND_TOKEN",
    "PAYLOAD_MAX_SIZE",
    "Connection",
    "Message",
    "Request",
    "Server",
    "Status",
    "StatusError",
    "Token",
    "config",
    "connect",
    "create_buffer",
    "name",
    "ping",
    "query",
    "random",
    "ready",
    "trace_mark",
]

_rng: Token | None = None


def ready() -> None:
    """Say that initialisation is done: the supervisor may start what depends on this app."""
    try:
        _native.ready()
    except StatusError as error:
        if error.status is Status.UNAVAILABLE:
            error.add_note("hint: an app to which the manifest gives no port has no message server to tell")
        raise


def trace_mark(label: int, param: int = 0) -> None:
    """Put a mark on this app's time line; without effect where it is not traced."""
    _native.trace_mark(label, param)


def ping() -> None:
    """Return when the message servers are alive; raise StatusError otherwise."""
    _native.ping()


def query(port: str) -> bool:
    """Whether a port is served now; raise StatusError (NOT_FOUND) when the manifest does not grant it."""
    try:
        _native.query(port)
    except StatusError as error:
        if error.status is not Status.UNAVAILABLE:
            raise
        return False
    return True


def name() -> str:
    """This app's name in the manifest."""
    return os.environ["KOS_APP_NAME"]


def config() -> dict:
    """This app's `config` from the manifest."""
    import json

    path = os.environ.get("KOS_CONFIG", "/config.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def random(size: int) -> bytes:
    """`size` random bytes from the random number server."""
    global _rng
    if _rng is None:
        _rng = connect(PORT_RNG)
    data = b""
    while len(data) < size:
        part = min(size - len(data), PAYLOAD_MAX_SIZE)
        try:
            payload = _rng.call(RNG_READ, part).payload
        except StatusError:
            _rng = None  # the next call connects anew
            raise
        if len(payload) != part:
            raise StatusError(Status.INTERNAL_ERROR)
        data += payload
    return data
