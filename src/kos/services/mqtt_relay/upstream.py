"""The relay's connection to the server's bus, as a state machine: bytes in, bytes and acknowledgements out.
Pure.

It logs in as the device, by signing the server's nonce. Each record carries its mark, by which the server
takes it once and in order. The bus' own memory of message ids is not used: it forgets after a while, and it
would swallow what must come again after a failure in the middle. Records leave in order; after a failure
nothing leaves until what is under way has been answered, and then everything from the first that failed goes
again.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.abi.record_mark import RECORD_HEADER, RecordMark
from kos.abi.session import DOWN_ANSWER, down_subject, up_subject
from kos.services.admin import wire
from kos.services.mqtt_relay.spool import Record, Spool

WINDOW = 64  # records under way at one time
ACK_SECONDS = 10.0  # without an answer for so long, the connection is given up
RETRY_SECONDS = 3.0  # before records that the server could not store go out again
PING_SECONDS, DEAD_SECONDS = 20.0, 45.0
ANSWER = f"{DOWN_ANSWER}.mqtt"

CLOSED, GREETING, OPEN = "closed", "greeting", "open"


class Upstream:
    """One device's records on their way.

    Attributes:
        state: "closed", "greeting" or "open".
        reason: why the last connection ended or a record was not stored.
        stored: records that the server has acknowledged since the start.
    """

    def __init__(self, public_key: bytes, sign: Callable[[bytes], bytes], spool: Spool) -> None:
        self.state = CLOSED
        self.reason = "not connected yet"
        self.stored = 0
        self._key = public_key
        self._device = nkey.device_id(public_key)
        self._sign = sign
        self._spool = spool
        self._parser = wire.Parser()
        self._output = bytearray()
        self._under_way: dict[int, bool] = {}  # number → stored; in the order in which they left
        self._last: Record | None = None  # the last that left
        self._failed = False
        self._not_before = 0.0
        self._heard_at = self._asked_at = self._sent_at = 0.0

    def opened(self, now: float) -> None:
        """A fresh connection is there."""
        self._parser = wire.Parser()
        self._output.clear()
        self._restart()
        self.state = GREETING
        self._heard_at = self._asked_at = self._sent_at = now

    def closed(self, reason: str) -> None:
        """The connection is gone."""
        self.state, self.reason = CLOSED, reason
        self._output.clear()
        self._restart()

    def _restart(self) -> None:
        self._under_way.clear()
        self._failed = False
        self._spool.rewind()

    def take_output(self) -> bytes:
        data = bytes(self._output)
        self._output.clear()
        return data

    def receive(self, data: bytes, now: float) -> None:
        """Bytes from the server.

        Raises:
            KosError: it refused us or does not speak the protocol: close the connection.
        """
        self._heard_at = now
        for frame in self._parser.feed(data):
            match frame:
                case wire.Info() if self.state == GREETING:
                    self._greet(frame)
                case wire.Ping():
                    self._output += wire.PONG
                case wire.Pong() if self.state == GREETING:
                    self.state, self.reason = OPEN, ""
                    self._output += wire.subscribe(down_subject(self._device, f"{ANSWER}.*"), 1)
                case wire.Refused():
                    raise KosError(f"the server refused: {frame.reason}")
                case wire.Message():
                    self._answered(frame, now)
        self.pump(now)

    def _greet(self, info: wire.Info) -> None:
        if not info.nonce:
            raise KosError("the server offers no nonce to sign")
        signature = base64.urlsafe_b64encode(self._sign(info.nonce.encode())).decode().rstrip("=")
        self._output += wire.connect(nkey.encode(self._key), signature, f"{self._device}.mqtt", "1.0")

    def _answered(self, message: wire.Message, now: float) -> None:
        text = message.subject.rpartition(".")[2]
        number = int(text) if text.isdigit() else -1
        if number not in self._under_way:
            return
        if message.status or b'"error"' in message.data:
            self._failed = True
            self._not_before = now + RETRY_SECONDS
            self.reason = "the server stores nothing now" if message.status else "the server could not store"
            del self._under_way[number]
            return
        self._under_way[number] = True
        self._sent_at = now
        # Only a row of stored records from the first on may be forgotten.
        for first, stored in list(self._under_way.items()):
            if not stored:
                break
            del self._under_way[first]
            if not self._failed:
                self._spool.acknowledge(first)
                self.stored += 1

    def pump(self, now: float) -> None:
        """Send what may leave now."""
        if self.state != OPEN:
            return
        if self._failed:
            if any(not stored for stored in self._under_way.values()) or now < self._not_before:
                return
            self._restart()
        while len(self._under_way) < WINDOW and (record := self._spool.take()) is not None:
            last = self._last if self._under_way else None
            if last is not None and last.spool != record.spool:
                self._spool.untake()  # the numbers of two spools say nothing about each other
                return
            if not self._under_way:
                self._sent_at = now
            self._under_way[record.number] = False
            self._last = record
            self._output += self._publish(record, last.number if last is not None else 0, now)

    def _publish(self, record: Record, after: int, now: float) -> bytes:
        answer = down_subject(self._device, f"{ANSWER}.{record.number}")
        mark = RecordMark(record.spool, record.number, after, int((now - record.since) * 1000))
        headers = {RECORD_HEADER: mark.to_text()}
        return wire.publish(up_subject(self._device, record.kind), record.payload, answer, headers)

    def tick(self, now: float) -> float:
        """Do what time demands; → when to call again.

        Raises:
            KosError: the server is silent for too long: close the connection.
        """
        if self.state == CLOSED:
            return now + PING_SECONDS
        waiting = any(not stored for stored in self._under_way.values())
        if waiting and now - self._sent_at > ACK_SECONDS:
            raise KosError("the server acknowledges nothing")
        if now - self._heard_at > DEAD_SECONDS:
            raise KosError("the server is silent")
        if now - self._heard_at > PING_SECONDS and now - self._asked_at > PING_SECONDS:
            self._asked_at = now
            self._output += wire.PING
        self.pump(now)
        soon = [self._heard_at + PING_SECONDS, now + PING_SECONDS]
        if waiting:
            soon.append(self._sent_at + ACK_SECONDS + 0.1)
        if self._failed:
            soon.append(self._not_before)
        return max(now + 0.1, min(soon))
