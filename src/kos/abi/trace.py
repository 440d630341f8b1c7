"""The trace: what an app's ring holds, and the frames in which a trace server passes it on.

A ring is memory that one traced app writes and the trace server reads: a header page, then `ENTRIES` records
of equal size. libkos writes a record at `head % ENTRIES`, then adds 1 to `head`; it never waits for the
reader. What was overwritten before it was read is lost, and a reader sees from the numbers how much. Nothing
in a ring can be believed but that this app wrote it: who speaks through which mailbox is the message server's
to say (`Peer`).

Plain Python: no import outside the standard library, no I/O, and none that makes a service's start slow.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from enum import IntEnum
from struct import Struct

# --- the ring ---------------------------------------------------------------------------------------------
MAGIC = 0x52544F4B  # "KOTR", little-endian
VERSION = 1
HEADER_SIZE = 4096
ENTRIES = 2048  # records of one ring; a power of two, so that numbers may wrap
RECORD_SIZE = 64
PAYLOAD_SIZE = 192  # bytes of a payload that a record holds where payloads are traced
RECORD_SIZE_PAYLOADS = RECORD_SIZE + PAYLOAD_SIZE

# name: (offset in bytes, size in bytes, who writes it). One cache line for each writer.
FIELDS = {
    "magic": (0, 4, "server"),
    "version": (4, 4, "server"),
    "record_size": (8, 4, "server"),
    "head": (64, 4, "app"),  # records written so far, modulo 2**32
    "dropped": (68, 4, "app"),  # records not written because another thread was writing one
}


def ring_size(record_size: int) -> int:
    """Bytes of a ring with records of that size."""
    return HEADER_SIZE + ENTRIES * record_size


class Kind(IntEnum):
    """What happened. `label`, `param`, `badge` and `size` are the message's own unless it says otherwise."""

    CALL = 1  # a call was sent
    CALL_END = 2  # it came back; label, param and size are the reply's, status is the call's
    SEND = 3
    QUEUE = 4  # status FULL: it was dropped
    RECEIVE = 5  # `caller` sent it with `badge`
    REPLY = 6  # to the message received before; label is the status that it carries
    REQUEST = 7  # ask for a connection; label is the port's hash
    REQUEST_END = 8  # status, and the mailbox of the token that came
    BIND = 9  # label is the port's hash
    CREATE = 10  # a token with `badge`
    REVOKE = 11  # every token with `badge`
    DELETE = 12
    SLEEP = 13  # nothing to do: from here on the thread waits
    WAKE = 14
    READY = 15
    MARK = 16  # the app's own: label and param are what it says


class Flag(IntEnum):
    """Bits of a record's `flags`."""

    QUEUED = 1  # through the queue: `sequence` counts the mailbox's queue
    ONE_WAY = 2  # nobody waits for a reply
    REQUEST = 4  # a connection request: `mailbox` is the request's number


# time in ns of CLOCK_MONOTONIC, label, param, badge, mailbox, sequence, thread, status, caller, server, size,
# kind, flags, slot, processor, bytes of payload
RECORD = Struct("<4Q6IHBBBBH")
assert RECORD.size == RECORD_SIZE


class Record(
    namedtuple(
        "_Record",
        "number time label param badge mailbox sequence thread status caller server size kind flags slot cpu "
        "payload",
    )
):
    """One record of a ring. `number` is its place among all that this ring ever held, modulo 2**32."""

    __slots__ = ()


def records(data: bytes, record_size: int, first: int) -> Iterator[Record]:
    """The records in `data`, the first of which has the number `first`; what is left over is no record."""
    for at in range(0, len(data) - record_size + 1, record_size):
        *words, payload_size = RECORD.unpack_from(data, at)
        payload_size = min(payload_size, record_size - RECORD_SIZE)
        payload = data[at + RECORD_SIZE : at + RECORD_SIZE + payload_size]
        yield Record((first + at // record_size) & 0xFFFFFFFF, *words, payload)


def name_hash(name: str) -> int:
    """FNV-1a of a name in 32 bits: how a record names a port or a message server."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


FRAME_VERSION = 1  # of frames, which `kos.abi.trace_frame` reads

# --- what the message server says of mailboxes: records of PEER_HEAD and the port's name -------------------
PEER_HEAD = Struct("<IIIB")  # mailbox, caller ids of its owner and of its holder, bytes of the port's name
PEERS_MAX = 4096  # mailboxes that a message server remembers, open or closed


class Peer(namedtuple("_Peer", "mailbox owner holder port")):
    """Who answers and who calls through a mailbox; `port` is "" where the token came without a request."""

    __slots__ = ()

    def pack(self) -> bytes:
        port = self.port.encode()
        return PEER_HEAD.pack(self.mailbox, self.owner, self.holder, len(port)) + port


def peers(data: bytes) -> Iterator[Peer]:
    """The mailboxes in an answer of the message server."""
    at = 0
    while len(data) - at >= PEER_HEAD.size:
        mailbox, owner, holder, size = PEER_HEAD.unpack_from(data, at)
        at += PEER_HEAD.size
        yield Peer(mailbox, owner, holder, data[at : at + size].decode("utf-8", "replace"))
        at += size
