"""The control protocol: what an app asks its message server over its one inherited connection.

A SEQPACKET socket. The app sends one `REQUEST` packet and reads one `REPLY` packet; the server never speaks
unasked, so no app can fill another's socket. Things that happen by themselves are announced by `event_seq`
in the app page plus the event descriptor, and fetched with `NEXT_EVENT`.

Both packets are little-endian: op or status, size of the data that follows, six 64-bit words, the data.
Descriptors travel only from the server to the app, in the order that each operation lists.
"""

from enum import IntEnum
from struct import Struct

from kos.abi.message import PAYLOAD_MAX_SIZE, PORT_NAME_MAX

ABI_VERSION = 1

HEADER = Struct("<II6Q")
DATA_MAX = PORT_NAME_MAX + 1 + PAYLOAD_MAX_SIZE
PACKET_MAX = HEADER.size + DATA_MAX


# An "event" among those descriptors is an eventfd that counts 1 from the beginning. Who wakes writes 0, which
# never waits whatever the other end did to it; who waits does so for edges (EPOLLET) and reads nothing.


class Op(IntEnum):
    """Operations. `a0`… are the request's words, `r0`… the reply's; "fds" what the reply carries."""

    # a0 ABI version → CREATED, r0 own caller id, r1 bytes of a record when this app is traced, else 0;
    # fds: app page, event, completion
    HELLO = 1
    PING = 2  # → PONG
    READY = 3  # initialisation is done → OK
    BIND = 4  # a0 label, a1 badge, a2 flags; data: port → OK
    UNBIND = 5  # data: port → OK
    QUERY = 6  # data: port → OK when served, UNAVAILABLE when not, NOT_FOUND when not granted
    # Ask for a connection; one may be under way at a time. a0 slot for the token, a1 reply flags, a2 param;
    # data: port NUL payload → OK, r0 request id; the answer is there once the completion event was signalled
    REQUEST = 7
    # → NO_REPLY while pending; else OK, r0 label, r1 param, then as ACCEPT's r0 to r3: r2 kind, r3 flags,
    # r4 mailbox id, r5 size; data: payload; fds
    REQUEST_RESULT = 8
    NEXT_EVENT = 9  # → NO_REPLY when there is none; else OK, r0 `Event`, r1… as it says
    REPLY = 10  # a0 request id, a1 label, a2 param, a3 token slot or 0; data: payload → OK
    TOKEN_CREATE = 11  # a0 badge, a1 flags, a2 slot → CREATED
    TOKEN_MOVE = 12  # a0 destination slot, a1 source slot → OK
    TOKEN_DELETE = 13  # a0 slot → OK
    TOKEN_INFO = 14  # a0 slot → OK, r0 flags, r1 `TokenKind`, r2 badge where it is our own
    TOKEN_REVOKE = 15  # a0 badge → OK, r0 how many tokens stopped working
    # Offer the token in a0 to the peer of mailbox a1 (from its holder or from its owner) → OK, r0 ticket;
    # UNAVAILABLE when that peer has gone
    TRANSFER = 16
    # Take the token that the peer of mailbox a0 offered with ticket a1 into slot a2
    # → OK, r0 kind, r1 flags, r2 mailbox id, r3 size in bytes of a buffer; fds
    ACCEPT = 17
    BUFFER_CREATE = 18  # a0 size in bytes, a1 slot → CREATED; fds: the memory
    # a0 mailbox id: the owner is done with it (a single-use token is used up) or with what was left there
    DETACH = 19
    APP_NAME = 20  # a0 caller id of an app that we serve or served → OK; data: its name
    ROUTE = 21  # data: port → OK when the manifest grants it on this message server, else NOT_FOUND
    TRACE_RING = (
        22  # → CREATED, fds: the ring that this app writes its records to; NOT_FOUND when it is not traced
    )
    # For the trace server only (else UNAUTHORIZED): the first ring with a number over a0 → OK, r0 its number,
    # r1 caller id of its app, r2 bytes of a record, r3 bytes of the ring; data: the app's name; fds: the
    # ring, to read. NO_REPLY when there is none.
    TRACE_NEXT = 23
    TRACE_PEERS = 24  # the same for mailboxes made after mailbox a0 → OK; data: `trace.Peer` records
    # The other end of mailbox a0 broke the rule a1, a `Complaint`; it is named on the console → OK
    COMPLAIN = 25
    REQUEST_CANCEL = 26  # a0 request id: nobody waits for its answer any more → OK


class Event(IntEnum):
    """What `NEXT_EVENT` fetches."""

    REQUEST = 1  # r1 request id, r2 label, r3 param, r4 badge, r5 caller id; data: payload
    ATTACH = 2  # r1 mailbox id, r2 badge, r3 flags, r4 caller id; fds: mailbox, its event
    # r1 mailbox id: drop it now. Its `state` word says so too, but the holder could write that back to OPEN.
    # r2 1: its last message came with a token, which can still be accepted; DETACH follows that message
    # r3 1: its owner revoked it: what is still in it is not taken either
    CLOSED = 3


class TokenKind(IntEnum):
    """What a slot holds. ACCEPT and REQUEST_RESULT pass the fds of the kind."""

    NONE = 0
    OWN = 1  # created by this app and not yet given away; no fds
    MAILBOX = 2  # fds: mailbox, event of its owner
    BUFFER = 3  # fds: the memory, which only its creator may write


class Complaint(IntEnum):
    """What one end of a mailbox finds there that libkos never writes: the other end wrote it by itself."""

    HEADER = 1  # an unknown kind of message, or a payload longer than the mailbox
    FLAGS = 2  # a payload or a token that its token does not allow
    USED = 3  # one more message through a single-use token
    QUEUE = 4  # a queue that holds more than it has room for
