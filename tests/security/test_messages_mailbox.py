"""A hostile client with its own mailbox mapped writable: it corrupts every word while the owner reads.

The owner is a real app over libkos. An innocent client beside it gets each of its answers, and the owner's
handler must never see a message that the token does not allow.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import random
import select
import signal
import struct
import time

import pytest

from kos.abi import message
from kos.abi.control import Complaint, Event, Op
from kos.abi.message import MAILBOX_FIELDS as FIELDS
from kos.abi.status import Status
from kos.device.msgserver.mailbox import F_SEAL_FUTURE_WRITE
from tests.device.msgserver.wire import DEADLINE, Server

pytestmark = pytest.mark.group("security")

# Answers with what it got; says so when it got something that no token of its allows.
ECHO = """
import sys
from kos import app

def echo(request):
    if len(request.payload) > 4096 or request.token is not None:
        print("illegal", flush=True)
    return request.label, request.param, request.payload

server = app.Server(accept_tokens=int(sys.argv[1]) & app.FLAG_SEND_TOKEN != 0)
server.bind("echo", echo, flags=int(sys.argv[1]))
app.ready()
print("serving", flush=True)
server.serve()
"""

# Calls until it is told to stop; each answer must be its own.
INNOCENT = """
import sys
from kos import app

token = app.connect("echo")
print("connected", flush=True)
count = 0
for count in range(1, int(sys.argv[1]) + 1):
    payload = count.to_bytes(8, "little") * (count % 512)
    reply = token.call(128, count, payload)
    assert (reply.param, reply.payload) == (count, payload), count
print("answered", count, flush=True)
"""


# Makes the one call that a single-use token allows.
ONCE = """
from kos import app

assert app.connect("echo").call(128, 1, b"x").param == 1
print("answered", flush=True)
"""


class RawMailbox:
    """The holder's end of a mailbox, without libkos in between."""

    def __init__(self, memory_fd: int, event_fd: int) -> None:
        self.memory = mmap.mmap(memory_fd, message.MAILBOX_SIZE)
        self.event_fd = event_fd
        os.close(memory_fd)

    def store(self, name: str, value: int) -> None:
        offset, size, _writer = FIELDS[name]
        struct.pack_into("<I" if size == 4 else "<Q", self.memory, offset, value)

    def load(self, name: str) -> int:
        offset, size, _writer = FIELDS[name]
        return struct.unpack_from("<I" if size == 4 else "<Q", self.memory, offset)[0]

    def wake_owner(self) -> None:
        try:
            os.eventfd_write(self.event_fd, 1)
        except BlockingIOError:  # the counter is at its end: the owner was woken often enough
            return

    def close(self) -> None:
        self.memory.close()
        os.close(self.event_fd)


def line_of(process) -> str:
    """The next line of an app's output, which is read byte by byte: a second one that came in the same piece
    must stay in the pipe, where the next wait sees it.
    """
    end, line = time.monotonic() + DEADLINE, b""
    while not line.endswith(b"\n"):
        left = max(0.0, end - time.monotonic())
        assert select.select([process.stdout], [], [], left)[0], f"no whole line in time; so far {line!r}"
        if not (byte := os.read(process.stdout.fileno(), 1)):
            break
        line += byte
    return line.decode().strip()


@pytest.fixture
def server():
    server = Server("echo")
    yield server
    server.stop()


def serve(server, flags=message.FLAG_SEND_PAYLOAD):
    owner = server.spawn("owner", ECHO, str(flags), echo="server")
    assert line_of(owner) == "serving"
    return owner


def hostile_mailbox(server, name="hostile"):
    hostile = server.app(name, echo="client")
    result = hostile.request_result(hostile.request("echo", 5, 3))
    assert result.status == Status.OK
    return hostile, result.words[4], RawMailbox(*result.descriptors)


def hostile_server(server, code):
    """A hostile app that serves a real client, and its end of their mailbox."""
    hostile = server.app("hostile", echo="server")
    hostile.ask(Op.BIND, 0, 99, 0, data=b"echo")
    client = server.spawn("client", code, echo="client")
    request = hostile.next_event()
    hostile.ask(Op.TOKEN_CREATE, 1, message.FLAG_SEND_PAYLOAD, 3)
    hostile.ask(Op.REPLY, request.words[1], Status.OK, 0, 3)
    attach = hostile.next_event()
    return hostile, client, attach.words[1], RawMailbox(*attach.descriptors)


def until_asleep(mailbox):
    """The owner reads no more before it is woken."""
    end = time.monotonic() + DEADLINE
    while mailbox.load("owner_sleeping") == 0:
        assert time.monotonic() < end, "the owner does not sleep"
        time.sleep(0.001)


def innocent(server, calls, name="innocent"):
    process = server.spawn(name, INNOCENT, str(calls), echo="client")
    assert line_of(process) == "connected"
    return process


def fill(event_fd):
    """Make the next write to an eventfd that adds to its count wait for ever, whoever makes it."""
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(event_fd)
    fcntl.fcntl(event_fd, fcntl.F_SETFL, 0)  # the flags belong to all who share the descriptor
    os.eventfd_write(event_fd, 2**64 - 2)


def call(mailbox, seq, label=128, size=0, kind=message.REQUEST_CALL, ticket=0):
    """One well-formed call with a chosen header; returns the status."""
    put(mailbox, seq, label, size, kind, ticket)
    end = time.monotonic() + DEADLINE
    while mailbox.load("reply_seq") != seq:
        assert time.monotonic() < end, f"no answer to message {seq} in time"
        os.sched_yield()
    return mailbox.load("reply_label")


def put(mailbox, seq, label=128, size=0, kind=message.REQUEST_CALL, ticket=0):
    """Put such a call in, and wake the owner."""
    for name, value in (("request_label", label), ("request_size", size), ("request_kind", kind)):
        mailbox.store(name, value)
    mailbox.store("request_ticket", ticket)
    mailbox.store("reply_flags", message.FLAG_SEND_PAYLOAD)
    mailbox.store("request_seq", seq)
    mailbox.wake_owner()


def reported(server):
    """What the console is told of the hostile app."""
    report = server.wait_event("violation")
    assert report["app"] == "hostile"
    return report["text"]


def test_corrupt_headers_harm_nobody_else(server):
    owner = serve(server)
    _hostile, _id, mailbox = hostile_mailbox(server)
    victim = innocent(server, 20_000)
    choice = random.Random(1)
    names = [*FIELDS]
    while victim.poll() is None:
        name = choice.choice(names)
        value = choice.choice([0, 1, 4096, 4097, 2**31, 2**32 - 1, choice.getrandbits(32)])
        mailbox.store(name, value)
        mailbox.store("request_seq", choice.getrandbits(32))
        mailbox.store("queue_head", choice.getrandbits(32))
        mailbox.memory[choice.randrange(512, message.MAILBOX_SIZE)] = choice.getrandbits(8)
        mailbox.wake_owner()
    assert line_of(victim) == "answered 20000"
    assert owner.poll() is None
    assert reported(server).startswith("owner was sent ")
    mailbox.close()


@pytest.mark.parametrize("size", [message.PAYLOAD_MAX_SIZE + 1, 2**31, 2**32 - 1])
def test_a_payload_longer_than_the_mailbox_is_refused(server, size):
    owner = serve(server)
    _hostile, _id, mailbox = hostile_mailbox(server)
    assert call(mailbox, 1, size=size) == Status.BAD_REQUEST
    assert call(mailbox, 2, size=message.PAYLOAD_MAX_SIZE) == 128
    assert owner.poll() is None
    assert reported(server) == "owner was sent a header that libkos does not write"
    mailbox.close()


def test_a_payload_that_the_token_does_not_allow_is_refused(server):
    serve(server, flags=0)
    _hostile, _id, mailbox = hostile_mailbox(server)
    assert call(mailbox, 1, size=8) == Status.UNAUTHORIZED
    assert call(mailbox, 2, size=0) == 128
    assert reported(server) == "owner was sent more than the token allows"
    mailbox.close()


def test_a_single_use_token_works_once(server):
    serve(server, flags=message.FLAG_SEND_PAYLOAD | message.TOKEN_FLAG_SINGLE_USE)
    _hostile, _id, mailbox = hostile_mailbox(server)
    assert call(mailbox, 1) == 128
    mailbox.store("state", message.STATE_OPEN)
    put(mailbox, 2)
    # By now the owner has seen its event: it made the rounds for another one.
    assert line_of(server.spawn("other", ONCE, echo="client")) == "answered"
    assert mailbox.load("reply_seq") != 2 or mailbox.load("reply_label") == Status.INVALID_TOKEN
    mailbox.close()


def test_an_invented_ticket_brings_no_token(server):
    owner = serve(server, flags=message.FLAG_SEND_PAYLOAD | message.FLAG_SEND_TOKEN)
    _hostile, _id, mailbox = hostile_mailbox(server)
    for seq, ticket in enumerate([1, 2, 2**32 - 1], start=1):
        assert call(mailbox, seq, ticket=ticket) == Status.INVALID_TOKEN
    assert reported(server) == "owner was sent a token that it never had"
    assert owner.poll() is None
    mailbox.close()


def test_a_token_given_up_stays_dead_although_its_memory_is_still_mapped(server):
    serve(server)
    hostile, _id, mailbox = hostile_mailbox(server)
    assert call(mailbox, 1) == 128
    assert hostile.ask(Op.TOKEN_DELETE, 5).status == Status.OK
    victim = innocent(server, 100)
    assert line_of(victim) == "answered 100"  # by now the owner has seen its event
    mailbox.store("state", message.STATE_OPEN)
    put(mailbox, 2)
    assert line_of(innocent(server, 100, "another")) == "answered 100"  # and once more
    assert mailbox.load("reply_seq") != 2
    mailbox.close()


def test_an_owner_is_not_stopped_by_a_client_that_clears_flags_of_the_event(server):
    serve(server)
    _hostile, _id, mailbox = hostile_mailbox(server)
    fcntl.fcntl(mailbox.event_fd, fcntl.F_SETFL, 0)
    for _ in range(100):
        mailbox.wake_owner()
        os.eventfd_read(mailbox.event_fd)
    victim = innocent(server, 2000)
    assert line_of(victim) == "answered 2000"
    mailbox.close()


def test_a_full_event_does_not_stop_the_owner(server):
    """A client makes its next request while one is served: the owner must not wait to remind itself of it."""
    owner = serve(server)
    _hostile, _id, mailbox = hostile_mailbox(server)
    fill(mailbox.event_fd)
    victim = innocent(server, 20_000)
    seq = 0
    while victim.poll() is None and select.select([victim.stdout], [], [], 0) == ([], [], []):
        seq = (seq + 1) & 0xFFFFFFFF
        mailbox.store("request_kind", message.REQUEST_CALL)
        mailbox.store("request_seq", seq)
    assert line_of(victim) == "answered 20000"
    assert owner.poll() is None
    mailbox.close()


# Speaks through the queue, which never waits, to an app that it has reason to distrust.
QUEUER = """
from kos import app

token = app.connect("echo")
for _ in range(10):
    token.queue_send(1, b"x")
print("queued", flush=True)
"""


def test_a_full_event_does_not_stop_a_client(server):
    _hostile, client, _id, mailbox = hostile_server(server, QUEUER)
    fill(mailbox.event_fd)
    mailbox.store("owner_sleeping", 1)
    assert line_of(client) == "queued"
    mailbox.close()


def test_a_single_use_token_is_not_made_new_by_passing_it_on():
    """A message is put in without waking the owner, and the token given to an accomplice for the next one."""
    server = Server("echo", "side")
    try:
        serve(server, flags=message.FLAG_SEND_PAYLOAD | message.TOKEN_FLAG_SINGLE_USE)
        accomplice = server.app("accomplice", side="server")
        accomplice.ask(Op.BIND, 0, 99, 0, data=b"side")
        hostile = server.app("hostile", echo="client", side="client")
        request_id = hostile.request("side", 6)
        request = accomplice.next_event()
        accomplice.ask(Op.TOKEN_CREATE, 1, message.FLAG_SEND_TOKEN, 3)
        accomplice.ask(Op.REPLY, request.words[1], Status.OK, 0, 3)
        between = hostile.request_result(request_id).words[4]
        mailbox = RawMailbox(*hostile.request_result(hostile.request("echo", 5, 3)).descriptors)
        until_asleep(mailbox)
        mailbox.store("request_kind", message.REQUEST_SEND)
        mailbox.store("request_seq", 1)
        passed = hostile.ask(Op.TRANSFER, 5, between)
        if passed.status == Status.OK:
            taken = accomplice.ask(Op.ACCEPT, between, passed.words[0], 7)
            again = RawMailbox(*taken.descriptors)
            second = call(again, 1)
            again.close()
            assert (mailbox.load("taken_seq"), second) != (1, Status.OK), "it was used twice"
        assert passed.status == Status.UNAUTHORIZED
        mailbox.close()
    finally:
        server.stop()


def test_a_flooding_client_does_not_starve_another(server):
    serve(server)
    _hostile, _id, mailbox = hostile_mailbox(server)
    victim = innocent(server, 5000)
    seq = 0
    while victim.poll() is None:
        seq = (seq + 1) & 0xFFFFFFFF
        mailbox.store("request_kind", message.REQUEST_SEND)
        mailbox.store("request_seq", seq)
        mailbox.wake_owner()
    assert line_of(victim) == "answered 5000"
    mailbox.close()


def test_the_app_page_cannot_be_written_by_the_app(server):
    app = server.app("hostile")
    with pytest.raises(PermissionError):
        mmap.mmap(app.page_fd, message.APP_PAGE_SIZE)
    with pytest.raises(PermissionError):
        os.pwrite(app.page_fd, b"\1", 8)


def test_an_impossible_queue_is_reported(server):
    serve(server)
    _hostile, _id, mailbox = hostile_mailbox(server)
    mailbox.store("queue_head", 2**31)
    mailbox.wake_owner()
    assert reported(server) == "owner was sent more queued messages than there is room for"
    mailbox.close()


def test_what_a_hostile_app_leaves_behind_is_reported_though_it_is_gone(server):
    """It corrupts its mailbox and ends, before the owner was told to look."""
    serve(server)
    hostile, _id, mailbox = hostile_mailbox(server)
    until_asleep(mailbox)
    mailbox.store("request_kind", 77)
    mailbox.store("request_seq", 5)
    hostile.close()
    assert reported(server) == "owner was sent a header that libkos does not write"
    mailbox.close()


# Calls a server that it has reason to distrust.
TRUSTING = """
from kos import app

token = app.connect("echo")
print("got", len(token.call(1).payload), flush=True)
"""


def test_a_server_that_answers_more_than_a_mailbox_holds_is_reported(server):
    _hostile, client, _id, mailbox = hostile_server(server, TRUSTING)
    while mailbox.load("request_seq") == 0:
        os.sched_yield()
    mailbox.store("reply_label", Status.OK)
    mailbox.store("reply_size", 2**32 - 1)
    mailbox.store("reply_seq", 1)
    assert line_of(client) == "got 0"
    assert reported(server) == "client was sent a header that libkos does not write"
    mailbox.close()


def stopped(process):
    """It does nothing before SIGCONT."""
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)


# Waits for an answer, and says which status ended that.
WAITING = """
from kos import app

token = app.connect("echo")
for _ in range(2):
    try:
        token.call(1)
    except app.StatusError as error:
        print(error.status.name, flush=True)
"""


def test_a_server_that_hides_the_end_of_a_mailbox_keeps_nobody_waiting(server):
    """It ends the token, writes the mailbox back to open, and dies: no word of the mailbox tells of that."""
    hostile, client, mailbox_id, mailbox = hostile_server(server, WAITING)
    while mailbox.load("request_seq") == 0:
        os.sched_yield()
    stopped(client)  # we are faster than it can look
    hostile.ask(Op.DETACH, mailbox_id)
    mailbox.store("state", message.STATE_OPEN)
    hostile.close()
    client.send_signal(signal.SIGCONT)
    assert [line_of(client), line_of(client)] == ["INVALID_TOKEN"] * 2, "once, and always"
    assert client.wait(DEADLINE) == 0
    mailbox.close()


# Connects until it gets a token, and says what it got instead.
PERSISTENT = """
from kos import app

while True:
    try:
        token = app.connect("echo", timeout=0)
        break
    except app.StatusError as error:
        print(error.status.name, flush=True)
print("connected", flush=True)
"""


def test_a_mailbox_that_its_owner_sealed_costs_its_holder_nothing(server):
    """Whoever maps it first can forbid the other end to map it for writing."""
    hostile = server.app("hostile", echo="server")
    hostile.ask(Op.BIND, 0, 99, 0, data=b"echo")
    client = server.spawn("client", PERSISTENT, echo="client")

    def event_of(kind):
        while (event := hostile.next_event()).words[0] != kind:
            continue  # the end of the one before
        return event

    def answer(*, seal):
        request = event_of(Event.REQUEST)
        hostile.ask(Op.TOKEN_CREATE, 1, 0, 3)
        stopped(client)  # so that we are first
        hostile.ask(Op.REPLY, request.words[1], Status.OK, 0, 3)
        event = event_of(Event.ATTACH)
        if seal:
            fcntl.fcntl(event.descriptors[0], fcntl.F_ADD_SEALS, F_SEAL_FUTURE_WRITE)
        client.send_signal(signal.SIGCONT)
        for descriptor in event.descriptors:
            os.close(descriptor)

    for _ in range(3):
        answer(seal=True)
        assert line_of(client) == "NOT_ENOUGH_MEMORY"
    answer(seal=False)
    assert line_of(client) == "connected"


def test_one_app_can_complain_of_another_once_for_each_mailbox(server):
    """It is its word against the other's: the other is named, not disconnected."""
    hostile = server.app("hostile", echo="server")
    hostile.ask(Op.BIND, 0, 99, 0, data=b"echo")
    innocent = server.app("innocent", echo="client")
    request_id = innocent.request("echo", 5)
    hostile.ask(Op.TOKEN_CREATE, 1, 0, 3)
    hostile.ask(Op.REPLY, hostile.next_event().words[1], Status.OK, 0, 3)
    mailbox = innocent.request_result(request_id).words[4]
    assert hostile.ask(Op.COMPLAIN, mailbox, 99).status == Status.BAD_REQUEST
    assert hostile.ask(Op.COMPLAIN, mailbox + 77, Complaint.USED).status == Status.INVALID_TOKEN
    report = server.wait_event("violation")
    assert (report["app"], report["text"]) == ("hostile", "COMPLAIN of a token that it does not hold")
    for complaint in [*Complaint] * 100:
        assert hostile.ask(Op.COMPLAIN, mailbox, complaint).status == Status.OK
    report = server.wait_event("violation")
    assert (report["app"], report["text"]) == (
        "innocent",
        "hostile was sent a header that libkos does not write",
    )
    assert innocent.ask(Op.PING).status == Status.PONG
    assert server.status()["innocent"]["violations"] == 0
