"""Who holds what: apps, their token slots, mailboxes, offers and connection requests.

Pure bookkeeping over `mailbox` objects. It decides nothing about access (see `operations`).
"""

from __future__ import annotations

import itertools
from collections import deque
from enum import Enum

from kos.abi import message, trace
from kos.abi.control import TokenKind
from kos.abi.records import dataclass, field
from kos.abi.status import Status
from kos.device.msgserver.mailbox import AppPage, SharedBuffer, SharedMailbox, TraceRing

UNATTACHED_MAX = 64  # mailboxes made for an owner that it has not fetched yet; each holds two descriptors
ENDED_RINGS_MAX = 8  # traces of apps that ended, kept for a trace server that has not seen them yet
# Of one owner: it may complain of what it reads last, and accept the token that came with it.
ENDED_MAILBOXES_MAX = message.MAILBOXES_PER_OWNER
BUFFERS_PER_APP = 16  # shared buffers that one app created and that still exist


class Refusal(Exception):
    """An operation ends with this status; nothing was changed."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


class NotHeld(Refusal):
    """The app named a token or a mailbox that it does not have: libkos looks first, so somebody guesses."""

    def __init__(self) -> None:
        super().__init__(Status.INVALID_TOKEN)


@dataclass(slots=True, eq=False)
class OwnToken:
    """Created by the app that holds it and not given away yet: there is no mailbox behind it."""

    owner: App
    badge: int
    flags: int
    kind = TokenKind.OWN


@dataclass(slots=True, eq=False)
class Mailbox:
    """A token in the slot of its holder, and the mailbox to the app that created it."""

    id: int
    owner: App
    holder: App
    badge: int
    flags: int
    shared: SharedMailbox
    closed: bool = False
    fetched: set[int] = field(default_factory=set)  # ids of the ends that have their descriptors
    offers: dict[str, Offer] = field(default_factory=dict)  # side that offered → what it offers
    tickets: dict[str, int] = field(default_factory=dict)  # side that offered → the last ticket it was given
    complaints: set[str] = field(default_factory=set)  # names of the ends that complained of the other
    kind = TokenKind.MAILBOX

    def peer(self, app: App) -> App:
        """The other end."""
        return self.holder if app is self.owner else self.owner

    def handed_to(self, app: App) -> None:
        """One end has its descriptors; once both have, ours are closed."""
        self.fetched.add(app.id)
        if self.fetched == {self.owner.id, self.holder.id}:
            self.shared.close_descriptors()


@dataclass(slots=True, eq=False)
class BufferToken:
    """Shared memory; its creator writes, whoever holds the token may map it for reading."""

    creator: App
    shared: SharedBuffer
    flags: int = 0
    kind = TokenKind.BUFFER


class Reserved(Enum):
    """A slot kept free for the answer to a connection request under way."""

    REQUEST = TokenKind.NONE


Token = OwnToken | Mailbox | BufferToken


@dataclass(slots=True, eq=False)
class Offer:
    """A token that left its sender's slot and waits for the receiver to accept it."""

    ticket: int
    token: OwnToken | BufferToken


@dataclass(slots=True, eq=False)
class Ring:
    """What one start of an app leaves for the trace server."""

    number: int
    app: App
    record_size: int
    shared: TraceRing


@dataclass(slots=True, eq=False)
class ConnectionRequest:
    """A client app asks a server app for a token."""

    id: int
    client: App
    server: App
    port: str
    slot: int
    reply_flags: int
    param: int
    payload: bytes
    delivered: bool = False
    # the answer, once there is one
    status: Status = Status.NO_REPLY
    label: int = 0
    reply_param: int = 0
    reply_payload: bytes = b""
    answered_with_token: bool = False


@dataclass(slots=True, eq=False)
class Binding:
    """A port that a server app serves now."""

    port: str
    server: App
    label: int
    badge: int
    flags: int


@dataclass(slots=True, eq=False)
class App:
    """One connected app."""

    name: str
    id: int
    access: dict[str, str]  # port → "client" or "server"
    page: AppPage | None = None  # from HELLO on
    ready: bool = False
    alive: bool = True
    slots: dict[int, Token | Reserved] = field(default_factory=dict)
    revoked: set[int] = field(default_factory=set)  # slots of own tokens: it may not know yet
    owned: dict[int, Mailbox] = field(default_factory=dict)  # mailboxes that it answers
    buffers: set[BufferToken] = field(default_factory=set)  # that it created
    attach: deque[Mailbox] = field(default_factory=deque)
    # ids of mailboxes that it must drop, and whether with what is still in them
    closed: deque[tuple[int, bool]] = field(default_factory=deque)
    ended: dict[int, Mailbox] = field(default_factory=dict)  # it owned; the last ENDED_MAILBOXES_MAX
    incoming: dict[int, ConnectionRequest] = field(default_factory=dict)
    request: ConnectionRequest | None = None
    served: dict[int, str] = field(default_factory=dict)  # caller id → name of apps that spoke to it
    refused: int = 0
    violations: int = 0
    queue_dropped: int = 0  # by clients of mailboxes that are closed now
    traced: int = 0  # bytes of a record of its trace; 0: it leaves none
    number: int = 0  # the supervisor's, of this connection
    tracer: bool = False  # it may read what others leave

    def empty_slot(self, slot: int) -> int:
        """Check that a token can go there; raises Refusal."""
        if not message.NULL_SLOT < slot < message.TOKENS_PER_APP:
            raise Refusal(Status.BAD_REQUEST)
        if slot in self.slots:
            raise Refusal(Status.CONFLICT)
        return slot

    def token(self, slot: int) -> Token:
        """What the slot holds; it may be a mailbox that is closed by now. Raises Refusal."""
        token = self.slots.get(slot)
        if token is None or isinstance(token, Reserved):
            raise Refusal(Status.INVALID_TOKEN) if slot in self.revoked else NotHeld()
        return token

    def usable_token(self, slot: int) -> Token:
        """What the slot holds, when it still works; raises Refusal."""
        token = self.token(slot)
        if isinstance(token, Mailbox) and token.closed:
            raise Refusal(Status.INVALID_TOKEN)
        return token

    def mailbox(self, mailbox_id: int) -> Mailbox:
        """The open mailbox of that id of which this app is one end; raises Refusal."""
        if mailbox_id in self.owned:
            return self.owned[mailbox_id]
        if mailbox_id in self.ended:  # its holder went, and this app does not know yet
            raise Refusal(Status.UNAVAILABLE)
        for token in self.slots.values():
            if isinstance(token, Mailbox) and token.id == mailbox_id:
                if token.closed:
                    raise Refusal(Status.INVALID_TOKEN)
                return token
        raise NotHeld

    def known_mailbox(self, mailbox_id: int) -> Mailbox:
        """The same, or one that it owned until a moment ago; raises Refusal."""
        return self.ended.get(mailbox_id) or self.mailbox(mailbox_id)

    def announce_event(self) -> None:
        if self.page:
            self.page.announce_event()


class Tables:
    """All apps of one message server and what joins them."""

    def __init__(self, ports: frozenset[str]) -> None:
        self.ports = ports
        self.apps: dict[str, App] = {}
        self.bindings: dict[str, Binding] = {}
        self.rings: dict[int, Ring] = {}
        self.peers: dict[int, trace.Peer] = {}  # in the order of their making
        self._ids = itertools.count(1)

    def next_id(self) -> int:
        """A number never used before by this message server: mailbox ids, request ids, tickets."""
        return next(self._ids) & 0xFFFF_FFFF

    # --- mailboxes ----------------------------------------------------------------------------------------

    def grant(self, owner: App, holder: App, slot: int, badge: int, flags: int, port: str = "") -> Token:
        """Put a token of `owner` into a slot of `holder`, with a fresh mailbox behind it; raises Refusal.

        `port` is the one that the holder asked for, where it did.
        """
        if not owner.alive:
            raise Refusal(Status.UNAVAILABLE)
        if owner is holder:
            token: Token = OwnToken(owner, badge, flags)
        else:
            if len(owner.owned) >= message.MAILBOXES_PER_OWNER:
                raise Refusal(Status.AT_TOKEN_LIMIT)
            if len(owner.attach) >= UNATTACHED_MAX:
                raise Refusal(Status.FULL)
            token = Mailbox(self.next_id(), owner, holder, badge, flags, SharedMailbox())
            owner.owned[token.id] = token
            if owner.traced or holder.traced:
                self._note_peer(trace.Peer(token.id, owner.id, holder.id, port))
            owner.served[holder.id] = holder.name
            owner.attach.append(token)
            owner.announce_event()
        holder.slots[slot] = token
        return token

    def _note_peer(self, peer: trace.Peer) -> None:
        self.peers[peer.mailbox] = peer
        if len(self.peers) > trace.PEERS_MAX:
            del self.peers[next(iter(self.peers))]

    def close_mailbox(self, mailbox: Mailbox, state: int, *, deliver: bool = True) -> None:
        """End a mailbox: the holder's calls return at once, the owner is told to drop it.

        With `deliver`, an owner that has not fetched it yet still gets it, for the holder's last messages,
        and may still accept the token that came with one.
        """
        if mailbox.closed:
            return
        mailbox.closed = True
        owner = mailbox.owner
        del owner.owned[mailbox.id]
        owner.queue_dropped += mailbox.shared.queue_dropped
        deliver = deliver and owner.alive and mailbox.holder.id in mailbox.fetched
        last = mailbox.offers.pop("holder", None) if deliver else None
        self.drop_offers(mailbox)
        if last:
            mailbox.offers["holder"] = last
        if len(owner.ended) == ENDED_MAILBOXES_MAX:
            self.drop_offers(owner.ended.pop(next(iter(owner.ended))))
        owner.ended[mailbox.id] = mailbox
        mailbox.shared.close(state)
        unseen = mailbox in owner.attach
        if unseen and deliver:
            return  # `next_event` releases it
        mailbox.shared.release()
        if unseen:
            owner.attach.remove(mailbox)
        else:
            owner.closed.append((mailbox.id, not deliver))
            owner.announce_event()

    def drop_offers(self, mailbox: Mailbox) -> None:
        """Nobody accepts any more what was on its way through a mailbox."""
        for offer in mailbox.offers.values():
            self.drop(offer.token)
        mailbox.offers.clear()

    def drop(self, token: Token) -> None:
        """A token left its last slot."""
        if isinstance(token, Mailbox):
            self.close_mailbox(token, message.STATE_REVOKED)
        elif isinstance(token, BufferToken):
            token.creator.buffers.discard(token)
            token.shared.release()

    def take(self, app: App, slot: int) -> OwnToken | BufferToken:
        """Take a token out of a slot to give it away. A mailbox never has three ends: the old one closes.

        A single-use token stays with whom its creator gave it to: only the owner knows whether it was used,
        and a fresh mailbox would make it new.
        """
        token = app.usable_token(slot)
        if isinstance(token, Mailbox) and token.flags & message.TOKEN_FLAG_SINGLE_USE:
            raise Refusal(Status.UNAUTHORIZED)
        del app.slots[slot]
        if isinstance(token, Mailbox):
            moved = OwnToken(token.owner, token.badge, token.flags)
            self.close_mailbox(token, message.STATE_REVOKED)
            return moved
        return token

    def put(self, app: App, slot: int, token: OwnToken | BufferToken, port: str = "") -> Token:
        """Give a token that was taken out of a slot to its new holder; raises Refusal: then it is lost."""
        if isinstance(token, OwnToken):
            return self.grant(token.owner, app, slot, token.badge, token.flags, port)
        try:
            token.shared.share()
        except PermissionError:
            raise Refusal(Status.INVALID_TOKEN) from None
        app.slots[slot] = token
        return token

    def revoke(self, owner: App, badge: int) -> int:
        """Stop every token that `owner` created with that badge, wherever it is; return how many."""
        revoked = 0
        for mailbox in [each for each in owner.owned.values() if each.badge == badge]:
            self.close_mailbox(mailbox, message.STATE_REVOKED, deliver=False)
            revoked += 1
        # Closed before, and kept only for its last messages, which nobody may read any more.
        for mailbox in [each for each in owner.attach if each.badge == badge]:
            owner.attach.remove(mailbox)
            mailbox.shared.release()
            self.drop_offers(mailbox)
        for app in self.apps.values():
            for mailbox in (*app.owned.values(), *app.ended.values()):
                for side, offer in list(mailbox.offers.items()):
                    if isinstance(offer.token, OwnToken) and (offer.token.owner, offer.token.badge) == (
                        owner,
                        badge,
                    ):
                        del mailbox.offers[side]
                        revoked += 1
        own = [
            slot
            for slot, token in owner.slots.items()
            if isinstance(token, OwnToken) and token.badge == badge
        ]
        for slot in own:
            del owner.slots[slot]
            owner.revoked.add(slot)
        return revoked + len(own)

    # --- requests -----------------------------------------------------------------------------------------

    def complete(self, request: ConnectionRequest, status: Status) -> None:
        """A connection request has its answer; its client is told."""
        request.server.incoming.pop(request.id, None)
        if request.status is Status.NO_REPLY:
            request.status = status
        if request.client.slots.get(request.slot) is Reserved.REQUEST:
            del request.client.slots[request.slot]
        if request.client.page:
            request.client.page.announce_completion()

    def unbind(self, port: str) -> None:
        binding = self.bindings.pop(port)
        for request in [each for each in binding.server.incoming.values() if each.port == port]:
            self.complete(request, Status.UNAVAILABLE)

    # --- traces -------------------------------------------------------------------------------------------

    def ring_of(self, app: App) -> Ring:
        """The ring that a traced app writes: made at its first question."""
        for ring in self.rings.values():
            if ring.app is app:
                return ring
        ring = Ring(self.next_id(), app, app.traced, TraceRing(app.traced))
        self.rings[ring.number] = ring
        return ring

    def _forget_rings(self) -> None:
        """Only the newest of those whose app has ended stay."""
        ended = [ring for ring in self.rings.values() if not ring.app.alive]
        for ring in ended[: max(0, len(ended) - ENDED_RINGS_MAX)]:
            del self.rings[ring.number]
            ring.shared.release()

    # --- apps ---------------------------------------------------------------------------------------------

    def remove(self, app: App) -> None:
        """The app is gone: everybody who waits for it gets an answer, everything it held ends."""
        app.alive = False
        if self.apps.get(app.name) is app:
            del self.apps[app.name]
        for port in [port for port, binding in self.bindings.items() if binding.server is app]:
            self.unbind(port)
        for request in list(app.incoming.values()):
            self.complete(request, Status.UNAVAILABLE)
        if app.request:
            app.request.server.incoming.pop(app.request.id, None)
        for mailbox in list(app.owned.values()):
            self.close_mailbox(mailbox, message.STATE_UNAVAILABLE)
        while app.attach:  # what its holders left behind
            app.attach.popleft().shared.release()
        for token in list(app.slots.values()):
            if not isinstance(token, Reserved):
                self.drop(token)
        app.slots.clear()
        for mailbox in app.ended.values():
            self.drop_offers(mailbox)
        app.ended.clear()
        self._forget_rings()
        if app.page:
            app.page.release()
            app.page = None
