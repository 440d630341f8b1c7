"""The operations of the control protocol: one method each, named as in `kos.abi.control.Op`.

Each takes the calling app and the packet's words and data, checks them, acts on the tables and returns an
`Answer`, or raises `Refusal`. The caller is the connection's own app: nothing in a packet says who speaks.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable

from kos.abi import message
from kos.abi.control import ABI_VERSION, Complaint, Event, Op, TokenKind
from kos.abi.status import Status
from kos.device.msgserver.mailbox import AppPage, SharedBuffer
from kos.device.msgserver.tables import (
    BUFFERS_PER_APP,
    App,
    Binding,
    BufferToken,
    ConnectionRequest,
    Mailbox,
    NotHeld,
    Offer,
    OwnToken,
    Refusal,
    Reserved,
    Tables,
    Token,
)

Words = tuple[int, int, int, int, int, int]


class Answer(namedtuple("_Answer", "status words data descriptors sent", defaults=((), b"", (), None))):
    """A reply packet. `sent` runs once it is on its way, to let go of descriptors that it carried."""

    __slots__ = ()
    status: Status
    words: tuple[int, ...]
    data: bytes
    descriptors: tuple[int, ...]
    sent: Callable[[], None] | None


COMPLAINTS = {
    Complaint.HEADER: "a header that libkos does not write",
    Complaint.FLAGS: "more than the token allows",
    Complaint.USED: "one more message through a single-use token",
    Complaint.QUEUE: "more queued messages than there is room for",
}
OK = Answer(Status.OK)
CREATED = Answer(Status.CREATED)


class Operations:
    """Acts on the tables of one message server.

    `report` is told of things that a person should see: (kind, app, details).
    """

    def __init__(self, tables: Tables, report: Callable[..., None]) -> None:
        self._tables = tables
        self._report = report
        self._handlers: dict[int, Callable[[App, Words, bytes], Answer]] = {
            op.value: getattr(self, op.name.lower()) for op in Op
        }

    def run(self, app: App, op: int, words: Words, data: bytes) -> Answer:
        """Do one operation; refusals become answers."""
        handler = self._handlers.get(op)
        if handler is None:
            self._report("violation", app, text=f"an unknown operation, {op}")
        if handler is None or (app.page is None and op != Op.HELLO):
            return Answer(Status.BAD_REQUEST)
        try:
            return handler(app, words, data)
        except Refusal as refusal:
            if isinstance(refusal, NotHeld):
                self._report("violation", app, text=f"{Op(op).name} of a token that it does not hold")
            return Answer(refusal.status)

    # --- life of an app -----------------------------------------------------------------------------------

    def hello(self, app: App, words: Words, data: bytes) -> Answer:
        if words[0] != ABI_VERSION:
            raise Refusal(Status.NOT_IMPLEMENTED)
        if app.page is not None:
            raise Refusal(Status.CONFLICT)
        page = app.page = AppPage()
        return Answer(
            Status.CREATED,
            (app.id, app.traced),
            descriptors=(page.memory_fd, page.event_fd, page.completion_fd),
        )

    def ping(self, app: App, words: Words, data: bytes) -> Answer:
        return Answer(Status.PONG)

    def ready(self, app: App, words: Words, data: bytes) -> Answer:
        if not app.ready:
            app.ready = True
            self._report("ready", app)
        return OK

    def app_name(self, app: App, words: Words, data: bytes) -> Answer:
        name = app.served.get(words[0])
        if name is None:
            raise Refusal(Status.NOT_FOUND)
        return Answer(Status.OK, data=name.encode())

    # --- directory ----------------------------------------------------------------------------------------

    def _granted(self, app: App, data: bytes, operation: str, role: str | None = None) -> str:
        """The port named in `data`, when the manifest grants it to the app in that role.

        A port that is not granted does not exist for the app: the answer is the same as for one that nobody
        declared. A granted port asked for in the other role is UNAUTHORIZED.
        """
        name = data.decode("utf-8", "replace")[: message.PORT_NAME_MAX]
        granted = app.access.get(name)
        if granted is None or (role and granted != role):
            app.refused += 1
            self._report("refused", app, port=name, operation=operation)
            raise Refusal(Status.NOT_FOUND if granted is None else Status.UNAUTHORIZED)
        return name

    def bind(self, app: App, words: Words, data: bytes) -> Answer:
        label, badge, flags = words[:3]
        port = self._granted(app, data, "bind", "server")
        if flags & ~message.TOKEN_FLAGS_MASK:
            raise Refusal(Status.BAD_REQUEST)
        if port in self._tables.bindings:
            raise Refusal(Status.CONFLICT)
        self._tables.bindings[port] = Binding(port, app, label, badge, flags)
        return OK

    def unbind(self, app: App, words: Words, data: bytes) -> Answer:
        port = self._granted(app, data, "unbind", "server")
        binding = self._tables.bindings.get(port)
        if binding is None or binding.server is not app:
            raise Refusal(Status.NOT_FOUND)
        self._tables.unbind(port)
        return OK

    def query(self, app: App, words: Words, data: bytes) -> Answer:
        port = self._granted(app, data, "query")
        return OK if port in self._tables.bindings else Answer(Status.UNAVAILABLE)

    def route(self, app: App, words: Words, data: bytes) -> Answer:
        granted = data.decode("utf-8", "replace") in app.access
        return OK if granted else Answer(Status.NOT_FOUND)

    # --- connection requests ------------------------------------------------------------------------------

    def request(self, app: App, words: Words, data: bytes) -> Answer:
        slot, reply_flags, param = words[:3]
        name, _, payload = data.partition(b"\0")
        port = self._granted(app, name, "request", "client")
        binding = self._tables.bindings.get(port)
        if binding is None:
            raise Refusal(Status.UNAVAILABLE)
        if payload and not binding.flags & message.FLAG_SEND_PAYLOAD:
            raise Refusal(Status.UNAUTHORIZED)
        if len(payload) > message.PAYLOAD_MAX_SIZE or reply_flags & ~message.TOKEN_FLAGS_MASK:
            raise Refusal(Status.BAD_REQUEST)
        if app.request:
            raise Refusal(Status.CONFLICT)
        app.slots[app.empty_slot(slot)] = Reserved.REQUEST
        server = binding.server
        request = ConnectionRequest(
            self._tables.next_id(), app, server, port, slot, reply_flags, param, payload
        )
        app.request = server.incoming[request.id] = request
        server.served[app.id] = app.name
        server.announce_event()
        return Answer(Status.OK, (request.id,))

    def request_result(self, app: App, words: Words, data: bytes) -> Answer:
        request = app.request
        if request is None or request.id != words[0]:
            raise Refusal(Status.BAD_REQUEST)
        if request.status is Status.NO_REPLY:
            return Answer(Status.NO_REPLY)
        app.request = None
        if request.status is not Status.OK:
            return Answer(request.status)
        token = app.slots.get(request.slot) if request.answered_with_token else None
        if isinstance(token, Mailbox) and token.closed:  # its owner died, or revoked it at once
            del app.slots[request.slot]
            raise Refusal(Status.UNAVAILABLE)
        granted = self._granted_token(app, token)
        return granted._replace(
            words=(request.label, request.reply_param, *granted.words), data=request.reply_payload
        )

    def request_cancel(self, app: App, words: Words, data: bytes) -> Answer:
        request = app.request
        if request is None or request.id != words[0]:
            raise Refusal(Status.BAD_REQUEST)
        app.request = None
        if request.status is Status.NO_REPLY:
            request.server.incoming.pop(request.id, None)
            del app.slots[request.slot]
        elif request.answered_with_token:
            self._tables.drop(app.token(request.slot))
            del app.slots[request.slot]
        return OK

    def reply(self, app: App, words: Words, data: bytes) -> Answer:
        request_id, label, param, slot = words[:4]
        request = app.incoming.get(request_id)
        if request is None or not request.delivered:
            raise Refusal(Status.BAD_REQUEST)
        if len(data) > message.PAYLOAD_MAX_SIZE:
            raise Refusal(Status.BAD_REQUEST)
        token = self._tables.take(app, slot) if slot else None
        client = request.client
        client.slots.pop(request.slot, None)
        request.label, request.reply_param = label, param
        if request.reply_flags & message.FLAG_SEND_PAYLOAD:
            request.reply_payload = data
        status = Status.OK
        if token:
            try:
                self._tables.put(client, request.slot, token, request.port)
                request.answered_with_token = True
            except Refusal as refusal:
                status = refusal.status
        self._tables.complete(request, status)
        return OK

    def next_event(self, app: App, words: Words, data: bytes) -> Answer:
        if app.closed:
            closed, dropped = app.closed.popleft()
            with_token = closed in app.ended and bool(app.ended[closed].offers)
            return Answer(Status.OK, (Event.CLOSED, closed, with_token, dropped))
        if app.attach:
            mailbox = app.attach[0]
            words_out = (Event.ATTACH, mailbox.id, mailbox.badge, mailbox.flags, mailbox.holder.id)
            answer = self._granted_token(app, mailbox)._replace(words=words_out)
            return answer._replace(sent=lambda: self._attached(app, mailbox))
        for request in app.incoming.values():
            if not request.delivered:
                request.delivered = True
                binding = self._tables.bindings[request.port]
                words_out = (
                    Event.REQUEST,
                    request.id,
                    binding.label,
                    request.param,
                    binding.badge,
                    request.client.id,
                )
                return Answer(Status.OK, words_out, request.payload)
        return Answer(Status.NO_REPLY)

    @staticmethod
    def _attached(app: App, mailbox: Mailbox) -> None:
        """Its owner has been sent a mailbox: of one that died before that, all that waits is released."""
        app.attach.popleft()
        if mailbox.closed:  # the holder is gone and left messages in it
            app.closed.append((mailbox.id, False))
            mailbox.shared.release()
        else:
            mailbox.handed_to(app)

    # --- tokens -------------------------------------------------------------------------------------------

    def token_create(self, app: App, words: Words, data: bytes) -> Answer:
        badge, flags, slot = words[:3]
        if flags & ~message.TOKEN_FLAGS_MASK:
            raise Refusal(Status.BAD_REQUEST)
        app.slots[app.empty_slot(slot)] = OwnToken(app, badge, flags)
        return CREATED

    def token_move(self, app: App, words: Words, data: bytes) -> Answer:
        destination, source = words[:2]
        token = app.token(source)
        app.slots[app.empty_slot(destination)] = token
        del app.slots[source]
        return OK

    def token_delete(self, app: App, words: Words, data: bytes) -> Answer:
        slot = words[0]
        self._tables.drop(app.token(slot))
        del app.slots[slot]
        return OK

    def token_info(self, app: App, words: Words, data: bytes) -> Answer:
        token = app.usable_token(words[0])
        badge = token.badge if isinstance(token, OwnToken) else 0
        return Answer(Status.OK, (token.flags, token.kind, badge))

    def token_revoke(self, app: App, words: Words, data: bytes) -> Answer:
        return Answer(Status.OK, (self._tables.revoke(app, words[0]),))

    def transfer(self, app: App, words: Words, data: bytes) -> Answer:
        slot, mailbox_id = words[:2]
        mailbox = app.mailbox(mailbox_id)
        if app.usable_token(slot) is mailbox:
            raise Refusal(Status.BAD_REQUEST)
        side = "owner" if app is mailbox.owner else "holder"
        if side == "holder" and not mailbox.flags & message.FLAG_SEND_TOKEN:
            raise Refusal(Status.UNAUTHORIZED)
        offer = Offer(self._tables.next_id(), self._tables.take(app, slot))
        previous = mailbox.offers.pop(side, None)
        if previous:  # its message was never read: the token goes with it
            self._tables.drop(previous.token)
        mailbox.offers[side] = offer
        mailbox.tickets[side] = offer.ticket
        return Answer(Status.OK, (offer.ticket,))

    def accept(self, app: App, words: Words, data: bytes) -> Answer:
        mailbox_id, ticket, slot = words[:3]
        mailbox = app.known_mailbox(mailbox_id)
        side = "holder" if app is mailbox.owner else "owner"
        offer = mailbox.offers.get(side)
        if offer is None or offer.ticket != ticket:
            if ticket != mailbox.tickets.get(side):  # else it was good until its token was revoked
                self._report_peer(app, mailbox, "a token that it never had")
            raise Refusal(Status.INVALID_TOKEN)
        token = self._tables.put(app, app.empty_slot(slot), offer.token)
        del mailbox.offers[side]
        return self._granted_token(app, token)

    def detach(self, app: App, words: Words, data: bytes) -> Answer:
        mailbox = app.known_mailbox(words[0])
        if mailbox.owner is not app:
            raise Refusal(Status.INVALID_TOKEN)
        if mailbox.closed:  # and its last message was taken
            self._tables.drop_offers(mailbox)
        else:
            self._tables.close_mailbox(mailbox, message.STATE_REVOKED, deliver=False)
        return OK

    def complain(self, app: App, words: Words, data: bytes) -> Answer:
        mailbox_id, complaint = words[:2]
        mailbox = app.known_mailbox(mailbox_id)
        text = COMPLAINTS.get(complaint)
        if text is None:
            raise Refusal(Status.BAD_REQUEST)
        self._report_peer(app, mailbox, text)
        return OK

    def _report_peer(self, app: App, mailbox: Mailbox, text: str) -> None:
        """Name the other end, once for each mailbox; one app's word against another's has no other effect."""
        if app.name not in mailbox.complaints:
            mailbox.complaints.add(app.name)
            self._report("violation", mailbox.peer(app), text=f"{app.name} was sent {text}")

    def buffer_create(self, app: App, words: Words, data: bytes) -> Answer:
        size, slot = words[:2]
        if not 0 < size <= message.BUFFER_MAX_SIZE:
            raise Refusal(Status.BAD_REQUEST)
        if len(app.buffers) >= BUFFERS_PER_APP:
            raise Refusal(Status.AT_TOKEN_LIMIT)
        app.empty_slot(slot)
        token = BufferToken(app, SharedBuffer(size))
        app.buffers.add(token)
        app.slots[slot] = token
        return Answer(Status.CREATED, descriptors=(token.shared.memory_fd,))

    # --- traces -------------------------------------------------------------------------------------------

    def trace_ring(self, app: App, words: Words, data: bytes) -> Answer:
        if not app.traced:
            raise Refusal(Status.NOT_FOUND)
        return Answer(Status.CREATED, descriptors=(self._tables.ring_of(app).shared.memory_fd,))

    def trace_next(self, app: App, words: Words, data: bytes) -> Answer:
        if not app.tracer:
            raise Refusal(Status.UNAUTHORIZED)
        ring = next((each for number, each in self._tables.rings.items() if number > words[0]), None)
        if ring is None:
            return Answer(Status.NO_REPLY)
        words_out = (ring.number, ring.app.id, ring.record_size, ring.shared.size)
        return Answer(Status.OK, words_out, ring.app.name.encode(), (ring.shared.reader_fd,))

    def trace_peers(self, app: App, words: Words, data: bytes) -> Answer:
        if not app.tracer:
            raise Refusal(Status.UNAUTHORIZED)
        found = b""
        newest = next(reversed(self._tables.peers), 0)
        if newest <= words[0]:
            return OK
        for mailbox, peer in self._tables.peers.items():
            if mailbox > words[0]:
                packed = peer.pack()
                if len(found) + len(packed) > message.PAYLOAD_MAX_SIZE:
                    break
                found += packed
        return Answer(Status.OK, data=found)

    @staticmethod
    def _granted_token(app: App, token: Token | Reserved | None) -> Answer:
        """What the new holder (or the owner) of a token is told: ACCEPT's words and descriptors."""
        if isinstance(token, Mailbox):
            shared = token.shared
            return Answer(
                Status.OK,
                (TokenKind.MAILBOX, token.flags, token.id, 0),
                descriptors=(shared.memory_fd, shared.event_fd),
                sent=lambda: token.handed_to(app),
            )
        if isinstance(token, BufferToken):
            words = (TokenKind.BUFFER, token.flags, 0, token.shared.size)
            return Answer(Status.OK, words, descriptors=(token.shared.memory_fd,))
        if isinstance(token, OwnToken):
            return Answer(Status.OK, (TokenKind.OWN, token.flags, 0, 0))
        return Answer(Status.OK, (TokenKind.NONE, 0, 0, 0))
