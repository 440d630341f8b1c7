"""The bus' client protocol (NATS), as far as a device needs it: frames out of bytes, commands into bytes.

No I/O. The server is trusted to be the server, not to be right: every size has a limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kos.abi.errors import KosError

LINE_MAX = 16 * 1024  # bytes of a control line: the greeting lists all nodes of a cluster
PAYLOAD_MAX = 512 * 1024
MESSAGE_ID = "Nats-Msg-Id"  # the bus stores a repetition once, for a while
_END = b"\r\n"


@dataclass(frozen=True)
class Info:
    """The server's greeting."""

    nonce: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Message:
    """Something that we subscribed to. `status` is the server's own word: "503" when nobody listens."""

    subject: str
    data: bytes
    reply: str = ""
    status: str = ""


@dataclass(frozen=True)
class Refused:
    """The server says -ERR."""

    reason: str


class Ping:
    """The server wants to know whether we are there."""


class Pong:
    """The server is there."""


Frame = Info | Message | Refused | Ping | Pong


class Parser:
    """Bytes in, frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiting: tuple[str, str, int, int] | None = None  # subject, reply, header size, whole size

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that are complete now.

        Raises:
            KosError: not the protocol, or over a limit. The connection is of no use then.
        """
        self._buffer += data
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        while True:
            if self._waiting is not None:
                return self._message()
            end = self._buffer.find(_END)
            if end < 0 or end > LINE_MAX:
                if len(self._buffer) > LINE_MAX:
                    raise KosError(f"bus: a control line of more than {LINE_MAX} bytes")
                return None
            line = self._buffer[:end].decode("utf-8", "replace")
            del self._buffer[: end + 2]
            frame = self._line(line)
            if frame is not None:
                return frame

    def _line(self, line: str) -> Frame | None:
        verb, _, rest = line.partition(" ")
        match verb.upper():
            case "PING":
                return Ping()
            case "PONG":
                return Pong()
            case "+OK":
                return None
            case "-ERR":
                return Refused(rest.strip(" '"))
            case "INFO":
                return self._info(rest)
            case "MSG" | "HMSG":
                self._waiting = _header(verb.upper(), rest.split())
                return None
        raise KosError(f"bus: not its protocol: {line[:40]!r}")

    def _info(self, rest: str) -> Info:
        try:
            options = json.loads(rest)
            return Info(str(options.get("nonce", "")), options)
        except (ValueError, AttributeError) as error:
            raise KosError("bus: a greeting that is not JSON") from error

    def _message(self) -> Message | None:
        assert self._waiting is not None
        subject, reply, header, size = self._waiting
        if len(self._buffer) < size + 2:
            return None
        body = bytes(self._buffer[:size])
        del self._buffer[: size + 2]
        self._waiting = None
        status = ""
        if header:
            first = body[:header].split(_END, 1)[0].split()
            status = first[1].decode("ascii", "replace") if len(first) > 1 else ""
        return Message(subject, body[header:], reply, status)


def _header(verb: str, words: list[str]) -> tuple[str, str, int, int]:
    sizes = 2 if verb == "HMSG" else 1
    try:
        numbers = [int(word) for word in words[-sizes:]]
        subject, reply = words[0], words[2] if len(words) - sizes == 3 else ""
    except (ValueError, IndexError) as error:
        raise KosError("bus: a message without its size") from error
    header, size = (numbers[0], numbers[1]) if sizes == 2 else (0, numbers[0])
    if not 0 <= header <= size <= PAYLOAD_MAX:
        raise KosError(f"bus: a message of {size} bytes, the limit is {PAYLOAD_MAX}")
    return subject, reply, header, size


def connect(nkey: str, signature: str, name: str, version: str) -> bytes:
    """Our side of the greeting."""
    options = {
        "verbose": False,
        "pedantic": False,
        "headers": True,
        "no_responders": True,
        "protocol": 1,
        "lang": "kos",
        "version": version,
        "name": name,
        "nkey": nkey,
        "sig": signature,
    }
    return b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n"


def subscribe(subject: str, number: int) -> bytes:
    return f"SUB {subject} {number}\r\n".encode()


def publish(subject: str, data: bytes, reply: str = "", headers: Mapping[str, str] | None = None) -> bytes:
    """One message, with headers for whoever keeps or reads it."""
    address = f"{subject} {reply} " if reply else f"{subject} "
    if not headers:
        return f"PUB {address}{len(data)}\r\n".encode() + data + _END
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    header = f"NATS/1.0\r\n{lines}\r\n".encode()
    return f"HPUB {address}{len(header)} {len(header) + len(data)}\r\n".encode() + header + data + _END


PING = b"PING\r\n"
PONG = b"PONG\r\n"
