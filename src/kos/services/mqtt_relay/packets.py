"""MQTT 3.1.1 packets, as far as a broker for publishers needs them (OASIS MQTT 3.1.1). Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kos.abi.errors import KosError

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14
PACKET_MAX = 256 << 10  # bytes of one packet
TOPIC_MAX = 200  # bytes
ACCEPTED, BAD_PROTOCOL = 0, 1
REFUSED_SUBSCRIPTION = 0x80


@dataclass(frozen=True)
class Connect:
    """A client introduces itself. Name, user and password are read over: the socket says who it is."""

    level: int
    keep_alive: int  # seconds; 0 is none


@dataclass(frozen=True)
class Publish:
    topic: str
    payload: bytes
    qos: int
    identifier: int  # 0 with QoS 0


@dataclass(frozen=True)
class Other:
    """Any other packet of a client, with its identifier where it has one."""

    kind: int
    identifier: int = 0
    topics: int = 0  # of a subscription


Packet = Connect | Publish | Other


class Parser:
    """Bytes in, packets out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """Packets that are complete now.

        Raises:
            KosError: not MQTT, or over a limit: close the connection.
        """
        self._buffer += data
        packets: list[Packet] = []
        while (head := self._head()) is not None:
            start, size = head
            if len(self._buffer) < start + size:
                break
            first = self._buffer[0]
            body = bytes(self._buffer[start : start + size])
            del self._buffer[: start + size]
            packets.append(_parse(first, body))
        return packets

    def _head(self) -> tuple[int, int] | None:
        """Where the body starts and how long it is (2.2.3)."""
        size = 0
        for index in range(1, 5):
            if index >= len(self._buffer):
                return None
            size |= (self._buffer[index] & 0x7F) << 7 * (index - 1)
            if not self._buffer[index] & 0x80:
                if size > PACKET_MAX:
                    raise KosError(f"an MQTT packet of {size} bytes, the limit is {PACKET_MAX}")
                return index + 1, size
        raise KosError("an MQTT packet whose length does not end")


def _text(body: bytes, offset: int, limit: int) -> tuple[str, int]:
    if offset + 2 > len(body):
        raise KosError("an MQTT packet that is cut off")
    (size,) = struct.unpack_from("!H", body, offset)
    raw = body[offset + 2 : offset + 2 + size]
    if len(raw) != size or size > limit:
        raise KosError(f"an MQTT text of {size} bytes, the limit is {limit}")
    try:
        return raw.decode("utf-8"), offset + 2 + size
    except UnicodeDecodeError:
        raise KosError("an MQTT text that is not UTF-8") from None


def _parse(first: int, body: bytes) -> Packet:
    kind, flags = first >> 4, first & 0xF
    if kind == CONNECT:
        name, offset = _text(body, 0, 16)
        if name not in ("MQTT", "MQIsdp") or offset + 4 > len(body):
            raise KosError("an MQTT greeting that is none")
        level, _flags, keep_alive = struct.unpack_from("!BBH", body, offset)
        return Connect(level, keep_alive)
    if kind == PUBLISH:
        qos = flags >> 1 & 3
        topic, offset = _text(body, 0, TOPIC_MAX)
        identifier = 0
        if qos == 3 or (qos and offset + 2 > len(body)):
            raise KosError("an MQTT message with a quality that does not exist")
        if qos:
            (identifier,) = struct.unpack_from("!H", body, offset)
            offset += 2
        return Publish(topic, body[offset:], qos, identifier)
    if kind in (PUBREL, SUBSCRIBE, UNSUBSCRIBE):
        if len(body) < 2:
            raise KosError("an MQTT packet without its identifier")
        topics, offset = 0, 2
        while kind == SUBSCRIBE and offset < len(body):
            _topic, offset = _text(body, offset, TOPIC_MAX)
            topics, offset = topics + 1, offset + 1
        return Other(kind, struct.unpack_from("!H", body)[0], topics)
    if kind in (PUBACK, PUBREC, PUBCOMP, PINGREQ, DISCONNECT):
        return Other(kind)
    raise KosError(f"an MQTT packet of kind {kind}, which no client sends")


def connack(code: int) -> bytes:
    return bytes([CONNACK << 4, 2, 0, code])


def acknowledge(kind: int, identifier: int) -> bytes:
    """PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK."""
    return bytes([kind << 4 | (2 if kind == PUBREL else 0), 2]) + struct.pack("!H", identifier)


def suback(identifier: int, codes: bytes) -> bytes:
    return bytes([SUBACK << 4, 2 + len(codes)]) + struct.pack("!H", identifier) + codes


def pingresp() -> bytes:
    return bytes([PINGRESP << 4, 0])
