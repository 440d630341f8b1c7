"""One app's MQTT connection, as a state machine: bytes in, bytes and messages out. Pure.

What it hands out must be on storage before its acknowledgement goes to the app: `release` gives the bytes
that waited for that.
"""

from __future__ import annotations

from dataclasses import dataclass

from kos.abi.errors import KosError
from kos.services.mqtt_relay import packets, topics
from kos.services.mqtt_relay.packets import Connect, Other, Parser, Publish

CONNECT_SECONDS = 10.0  # in which a client must introduce itself
LEVELS = (3, 4)  # MQTT 3.1 and 3.1.1
UNFINISHED_MAX = 64  # messages of QoS 2 that a client may have under way


@dataclass(frozen=True)
class Message:
    """Something that an app published: the end of its subject, and the data."""

    kind: str
    payload: bytes


class Client:
    """One connection of one app.

    Attributes:
        deadline: when the client is taken for dead unless it says something; None for never.
        ended: it said goodbye.
    """

    def __init__(self, app: str, now: float) -> None:
        self.app = app
        self.deadline: float | None = now + CONNECT_SECONDS
        self.ended = False
        self._parser = Parser()
        self._connected = False
        self._keep_alive = 0
        self._unfinished: set[int] = set()
        self._held = bytearray()

    def receive(self, data: bytes, now: float) -> list[Message]:
        """What the app published with these bytes.

        Raises:
            KosError: it does not speak MQTT, or published where it may not: close the connection.
        """
        found: list[Message] = []
        for packet in self._parser.feed(data):
            if not self._connected and not isinstance(packet, Connect):
                raise KosError("an MQTT client that does not introduce itself")
            match packet:
                case Connect():
                    self._connect(packet)
                case Publish():
                    found += self._publish(packet)
                case Other():
                    self._other(packet)
        if self._connected:
            self.deadline = now + 1.5 * self._keep_alive if self._keep_alive else None
        return found

    def release(self) -> bytes:
        """What the app is told, now that all that it published is kept."""
        data = bytes(self._held)
        self._held.clear()
        return data

    def _connect(self, packet: Connect) -> None:
        if self._connected:
            raise KosError("an MQTT client that introduces itself twice")
        if packet.level not in LEVELS:
            self._held += packets.connack(packets.BAD_PROTOCOL)
            self.ended = True
            return
        self._connected = True
        self._keep_alive = packet.keep_alive
        self._held += packets.connack(packets.ACCEPTED)

    def _publish(self, packet: Publish) -> list[Message]:
        kind = topics.kind_of(self.app, packet.topic)
        if packet.qos == 1:
            self._held += packets.acknowledge(packets.PUBACK, packet.identifier)
        elif packet.qos == 2:
            self._held += packets.acknowledge(packets.PUBREC, packet.identifier)
            if packet.identifier in self._unfinished:
                return []  # the same message again (4.3.3)
            if len(self._unfinished) >= UNFINISHED_MAX:
                raise KosError(f"more than {UNFINISHED_MAX} messages of QoS 2 under way")
            self._unfinished.add(packet.identifier)
        return [Message(kind, packet.payload)]

    def _other(self, packet: Other) -> None:
        match packet.kind:
            case packets.PUBREL:
                self._unfinished.discard(packet.identifier)
                self._held += packets.acknowledge(packets.PUBCOMP, packet.identifier)
            case packets.SUBSCRIBE:
                # Data goes out here; nothing comes in.
                codes = bytes([packets.REFUSED_SUBSCRIPTION]) * packet.topics
                self._held += packets.suback(packet.identifier, codes)
            case packets.UNSUBSCRIBE:
                self._held += packets.acknowledge(packets.UNSUBACK, packet.identifier)
            case packets.PINGREQ:
                self._held += packets.pingresp()
            case packets.DISCONNECT:
                self.ended = True
