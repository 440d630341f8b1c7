"""The device session as a state machine: bytes and times in, bytes and events out. No I/O, no clock.

Whoever runs it (`agent` for a device, the fleet simulator for thousands) connects, feeds `receive`, sends
what `take_output` returns, and calls `tick` at `deadline`. A connection may be lost at any moment: what was
not acknowledged is sent again under the same id, which the server stores once.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.abi.session import (
    DOWN_ANSWER,
    DOWN_DESIRED,
    DOWN_REQUEST,
    DOWN_STREAM,
    HEARTBEAT_DEFAULT,
    HELLO_TIMEOUT,
    UP_HELLO,
    UP_REPORT,
    UP_STREAM,
    Desired,
    Hello,
    Reply,
    Report,
    Request,
    down_subject,
    up_subject,
)
from kos.services.admin import wire

WINDOW = 16  # documents under way at one time
ACK_TIMEOUT = 10.0  # seconds
RETRY = 3.0  # seconds before a document that the server could not store goes out again
PING_EVERY = 20.0  # seconds of silence before we ask whether the server is there
DEAD_AFTER = 45.0  # seconds of silence after which the connection is given up
REPORT_GAP = 0.25  # seconds between two reports, however much changes
QUEUE_BYTES = 1 << 20  # of documents that wait; the oldest go first, and are counted

# Where the session stands.
CLOSED, GREETING, JOINING, PENDING, JOINED = "closed", "greeting", "joining", "pending", "joined"


@dataclass
class Document:
    """One document on its way to the server's store."""

    number: int
    kind: str
    data: bytes
    sent_at: float | None = None  # None: waits for its turn
    not_before: float = 0.0


@dataclass(frozen=True)
class StreamFrame:
    """A frame of the stream `stream`, not looked at yet."""

    stream: str
    data: bytes


Event = Desired | Request | StreamFrame


class Session:
    """One device's session. `facts` and `report` are asked whenever a hello or a report goes out."""

    def __init__(
        self,
        public_key: bytes,
        sign: Callable[[bytes], bytes],
        facts: Callable[[], Hello],
        report: Callable[[int], Report],
        run: str,
        version: str = "1.0",
    ) -> None:
        self.public_key = public_key
        self.device = nkey.device_id(public_key)
        self.state = CLOSED
        self.heartbeat = HEARTBEAT_DEFAULT
        self.reason = ""  # why the server closed the last connection
        self.dropped = 0  # documents lost because the queue was full
        self._sign = sign
        self._facts = facts
        self._report = report
        self._run = run  # differs each time that we start: message ids begin anew with it
        self._version = version
        self._parser = wire.Parser()
        self._output = bytearray()
        self._queue: deque[Document] = deque()
        self._queued = 0  # bytes
        self._number = 0
        self._report_number = 0
        self._dirty = True
        self._reported_at = float("-inf")
        self._report_due = 0.0
        self._heard_at = 0.0
        self._pinged_at = float("-inf")
        self._hello_at: float | None = None

    # --- the connection -----------------------------------------------------------------------------------
    def opened(self, now: float) -> None:
        """A fresh connection is there."""
        self._parser = wire.Parser()
        self._output.clear()
        self.state, self.reason = GREETING, ""
        self._heard_at, self._pinged_at = now, now
        self._hello_at = None
        for document in self._queue:
            document.sent_at = None
        self._dirty = True

    def closed(self) -> None:
        """The connection is gone."""
        self.state = CLOSED
        self._output.clear()

    def take_output(self) -> bytes:
        """What must be sent now."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Bytes from the server; what they ask of us.

        Raises:
            KosError: the server refused us or does not speak the protocol: close the connection.
        """
        self._heard_at = now
        events: list[Event] = []
        for frame in self._parser.feed(data):
            match frame:
                case wire.Info():
                    self._greet(frame)
                case wire.Ping():
                    self._output += wire.PONG
                case wire.Pong():
                    if self.state == GREETING:
                        self._join(now)
                case wire.Refused():
                    self.reason = frame.reason
                    # A refused subject leaves the connection as it is; everything else ends it.
                    if not frame.reason.lower().startswith("permissions violation"):
                        raise KosError(f"the server refused: {frame.reason}")
                case wire.Message():
                    event = self._message(frame, now)
                    if event is not None:
                        events.append(event)
        self._pump(now)
        return events

    def _greet(self, info: wire.Info) -> None:
        if self.state != GREETING:
            return  # a later greeting only tells of other servers
        if not info.nonce:
            raise KosError("the server offers no nonce to sign", hint="is it a KOS server?")
        signature = base64.urlsafe_b64encode(self._sign(info.nonce.encode())).decode().rstrip("=")
        self._output += wire.connect(nkey.encode(self.public_key), signature, self.device, self._version)

    def _join(self, now: float) -> None:
        self.state = JOINING
        self._output += wire.subscribe(down_subject(self.device, ">"), 1)
        self._say_hello(now)

    def _say_hello(self, now: float) -> None:
        self._hello_at = now
        reply = down_subject(self.device, f"{DOWN_ANSWER}.hello")
        self._output += wire.publish(up_subject(self.device, UP_HELLO), self._facts().to_bytes(), reply)

    def _message(self, message: wire.Message, now: float) -> Event | None:
        kind = message.subject.removeprefix(down_subject(self.device, ""))
        if kind == f"{DOWN_ANSWER}.hello":
            if message.status:
                return None  # no server listens; the hello is repeated
            return self._wanted(message.data, now)
        if kind == DOWN_DESIRED:
            return self._wanted(message.data, now)
        if kind == DOWN_REQUEST:
            return Request.parse(message.data)
        if kind.startswith(f"{DOWN_STREAM}."):
            return StreamFrame(kind.removeprefix(f"{DOWN_STREAM}."), message.data)
        number = kind.removeprefix(f"{DOWN_ANSWER}.")
        if number.isdigit():
            self._acknowledged(int(number), message, now)
        return None

    def _wanted(self, data: bytes, now: float) -> Desired:
        desired = Desired.parse(data)
        self._hello_at = None
        self.heartbeat = desired.heartbeat
        self.state = JOINED if desired.accepted else PENDING
        self._report_due = now
        return desired

    # --- documents ----------------------------------------------------------------------------------------
    def send(self, kind: str, data: bytes, now: float) -> None:
        """Queue a document for the server's store."""
        self._number += 1
        self._queue.append(Document(self._number, kind, data))
        self._queued += len(data)
        while self._queued > QUEUE_BYTES:
            lost = next((one for one in self._queue if one.sent_at is None), self._queue[0])
            self._remove(lost)
            self.dropped += 1
        self._pump(now)

    def send_stream(self, name: str, data: bytes) -> None:
        """Send at once, without a store: for a shell or a trace that somebody watches. Lost when offline."""
        if self.state == JOINED:
            self._output += wire.publish(up_subject(self.device, f"{UP_STREAM}.{name}"), data)

    def reply(self, request: Request, reply: Reply) -> None:
        """Answer a request."""
        if self.state == JOINED and request.reply.startswith(up_subject(self.device, "")):
            self._output += wire.publish(request.reply, reply.to_bytes())

    def changed(self, now: float) -> None:
        """Something that a report tells is different now."""
        self._dirty = True
        self._pump(now)

    @property
    def waiting(self) -> int:
        """Documents that the server has not acknowledged."""
        return len(self._queue)

    def _acknowledged(self, number: int, message: wire.Message, now: float) -> None:
        document = next((one for one in self._queue if one.number == number), None)
        if document is None:
            return
        if message.status or b'"error"' in message.data:
            document.sent_at, document.not_before = None, now + RETRY
        else:
            self._remove(document)

    def _remove(self, document: Document) -> None:
        self._queue.remove(document)
        self._queued -= len(document.data)

    def _pump(self, now: float) -> None:
        if self.state != JOINED:
            return
        due = now >= self._report_due or self._dirty
        if due and now - self._reported_at >= REPORT_GAP:
            self._make_report(now)
        under_way = sum(1 for one in self._queue if one.sent_at is not None)
        for document in self._queue:
            if under_way >= WINDOW:
                break
            if document.sent_at is None and document.not_before <= now:
                under_way += 1
                document.sent_at = now
                subject = up_subject(self.device, document.kind)
                reply = down_subject(self.device, f"{DOWN_ANSWER}.{document.number}")
                identity = f"{self.device}-{self._run}-{document.number}"
                self._output += wire.publish(subject, document.data, reply, {wire.MESSAGE_ID: identity})

    def _make_report(self, now: float) -> None:
        self._report_number += 1
        # Only the newest report matters: one that still waits makes room for it.
        for document in [one for one in self._queue if one.kind == UP_REPORT and one.sent_at is None]:
            self._remove(document)
        self._dirty = False
        self._reported_at, self._report_due = now, now + self.heartbeat
        self._number += 1
        data = self._report(self._report_number).to_bytes()
        self._queue.appendleft(Document(self._number, UP_REPORT, data))
        self._queued += len(data)

    # --- time ---------------------------------------------------------------------------------------------
    def deadline(self) -> float:
        """When `tick` must be called at the latest."""
        times = [self._heard_at + DEAD_AFTER, max(self._heard_at, self._pinged_at) + PING_EVERY]
        if self._hello_at is not None:
            times.append(self._hello_at + HELLO_TIMEOUT)
        if self.state == JOINED:
            times.append(self._reported_at + REPORT_GAP if self._dirty else self._report_due)
            for document in self._queue:
                sent = document.sent_at
                times.append(document.not_before if sent is None else sent + ACK_TIMEOUT)
        return min(times)

    def tick(self, now: float) -> None:
        """Time has passed. Raises KosError when the server has gone silent: close the connection."""
        if now - self._heard_at >= DEAD_AFTER:
            raise KosError("the server is silent")
        if now - max(self._heard_at, self._pinged_at) >= PING_EVERY:
            self._pinged_at = now
            self._output += wire.PING
        if self._hello_at is not None and now - self._hello_at >= HELLO_TIMEOUT:
            self._say_hello(now)
        for document in self._queue:
            if document.sent_at is not None and now - document.sent_at >= ACK_TIMEOUT:
                document.sent_at = None
        self._pump(now)
