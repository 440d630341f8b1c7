"""Typed protocols: what a port's messages mean, written once for client and server.

    @dataclass
    class Reading:
        sensor: str
        celsius: float

    class Weather(Protocol):
        port = "weather_protocol"
        report = Operation(1, Reading)          # label, request type, reply type
        latest = Operation(2, None, Reading)

    Weather.connect().report(Reading("roof", 21.5))                         # in a client
    server.bind(Weather.port, Weather.handlers(report=take, latest=give))   # in a server

A type is a dataclass, a protobuf message, `bytes`, `str` or None (nothing). Dataclasses travel as JSON, and
what arrives is checked against their annotations before anyone sees it. Apps that speak with C use protobuf.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.status import Status
from kos.app.server import Request
from kos.app.status import StatusError
from kos.app.token import Message, Token, connect

DEPTH_MAX = 16  # levels of lists and dataclasses inside each other


def encode(value: object) -> bytes:
    """A value of one of the types above as payload."""
    if value is None:
        return b""
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
    elif isinstance(value, str):
        data = value.encode()
    elif is_dataclass(value):
        data = json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False).encode()
    elif hasattr(value, "SerializeToString"):
        data = value.SerializeToString()
    else:
        raise TypeError(f"{type(value).__name__} is no type of a message")
    if len(data) > PAYLOAD_MAX_SIZE:
        raise ValueError(f"the message has {len(data)} bytes, at most {PAYLOAD_MAX_SIZE} fit")
    return data


def decode(kind: type | None, payload: bytes) -> object:
    """A payload as a value of that type; raises ValueError for anything else."""
    if kind is None:
        if payload:
            raise ValueError("expected no payload")
        return None
    if kind is bytes:
        return payload
    if kind is str:
        return payload.decode()
    if is_dataclass(kind):
        try:
            return _typed(kind, json.loads(payload), DEPTH_MAX)
        except RecursionError:
            raise ValueError("too deep") from None
    return _protobuf(kind, payload)


def _protobuf(kind: type, payload: bytes) -> object:
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(payload)
    except DecodeError as error:
        raise ValueError(str(error)) from None


def _plain(value: object) -> object:
    """Dataclasses as objects, bytes as hexadecimal text."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.hex() if isinstance(value, bytes) else value


def _typed(kind: type, value: object, depth: int) -> object:
    """A JSON value as `kind`; raises ValueError when it is something else."""
    if depth == 0:
        raise ValueError("too deep")
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _first_that_fits(arguments, value, depth)
    if origin in (list, tuple) and isinstance(value, list):
        items = [_typed(arguments[0], item, depth - 1) for item in value]
        return items if origin is list else tuple(items)
    if origin is dict and isinstance(value, dict):
        return {key: _typed(arguments[1], item, depth - 1) for key, item in value.items()}
    if is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        if unknown := value.keys() - hints.keys():
            raise ValueError(f"unknown field {min(unknown)!r}")
        try:
            return kind(**{name: _typed(hints[name], item, depth - 1) for name, item in value.items()})
        except TypeError:
            raise ValueError(f"a field of {kind.__name__} is missing") from None
    if kind is bytes and isinstance(value, str):
        return bytes.fromhex(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (kind is type(None) and value is None) or (kind in (int, float, str, bool) and type(value) is kind):
        return value
    raise ValueError(f"expected {getattr(kind, '__name__', kind)}, found {type(value).__name__}")


def _first_that_fits(kinds: tuple, value: object, depth: int) -> object:
    for kind in kinds:
        try:
            return _typed(kind, value, depth)
        except ValueError:
            continue
    raise ValueError(f"found {type(value).__name__}, which is none of those expected")


class Operation:
    """One label of a protocol. On a connected protocol it is a function from request to reply."""

    def __init__(self, label: int, request: type | None = None, reply: type | None = None) -> None:
        self.label = label
        self.request = request
        self.reply = reply

    def __get__(self, protocol: Protocol | None, _owner: type) -> Operation | Callable:
        return self if protocol is None else lambda value=None: self._call(protocol.token, value)

    def _call(self, token: Token, value: object) -> object:
        answer = token.call(self.label, 0, encode(value))
        try:
            return decode(self.reply, answer.payload)
        except ValueError:
            raise StatusError(Status.INTERNAL_ERROR) from None

    def handler(self, function: Callable) -> Callable[[Request], Message]:
        """For a Server: decodes the request, calls `function(value, client)`, encodes what it returns."""

        def handle(request: Request) -> Message:
            try:
                value = decode(self.request, request.payload)
            except ValueError:
                raise StatusError(Status.BAD_REQUEST) from None
            result = function(value, request.client)
            return Message(Status.OK, 0, encode(result))

        return handle


class Protocol:
    """A port and its operations; an instance is a client's connection.

    Attributes:
        port: its name; every subclass sets it.
    """

    port: str

    def __init__(self, token: Token) -> None:
        self.token = token

    @classmethod
    def connect(cls, timeout: float = 30.0) -> typing.Self:
        """A connection to the server app of the port; raises StatusError."""
        return cls(connect(cls.port, timeout=timeout))

    @classmethod
    def handlers(cls, **functions: Callable) -> dict[int, Callable[[Request], Message]]:
        """What `Server.bind` takes: a function `(value, client)` for each operation, by its name."""
        result = {}
        for name, function in functions.items():
            operation = getattr(cls, name, None)
            if not isinstance(operation, Operation):
                raise TypeError(f"{cls.__name__} has no operation {name!r}")
            result[operation.label] = operation.handler(function)
        return result
