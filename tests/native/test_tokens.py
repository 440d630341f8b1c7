"""Every call of the C API against the real message server: the shell app does what a test says."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kos.abi.message import (
    BUFFER_MAX_SIZE,
    FLAG_SEND_PAYLOAD,
    FLAG_SEND_TOKEN,
    PAYLOAD_MAX_SIZE,
    PORT_NAME_MAX,
    QUEUE_LENGTH,
    TOKEN_FLAG_SINGLE_USE,
    TOKEN_FLAGS_MASK,
    TOKENS_PER_APP,
)
from tests.app.system import App, System, system

REQUEST_BADGE = 2**64 - 1
SECOND = 1_000_000  # microseconds
WAIT = 60 * SECOND  # for what must come


@pytest.fixture
def running(programs: Path) -> Iterator[System]:
    with system(msg0=["echo", "shell", "idle"]) as built:
        yield built


@pytest.fixture
def server(running: System, programs: Path) -> App:
    """A shell that serves the port `shell`."""
    app = running.start("server", {"shell": "server"}, programs / "shell")
    assert app.ask("bind shell") == "STATUS_OK"
    return app


@pytest.fixture
def client(running: System, programs: Path) -> App:
    access = {"echo": "client", "shell": "client", "idle": "client"}
    return running.start("client", access, programs / "shell")


def connect(client: App, server: App, flags: int, slot: int = 2, badge: int = 77) -> None:
    """Let the client hold a token of the server with those flags in that slot."""
    client.tell(f"request shell {slot} {FLAG_SEND_TOKEN}")
    assert server.ask(f"receive 3 {WAIT}").startswith(f"badge={REQUEST_BADGE} caller={client.id:x}")
    assert server.ask(f"create {badge} {flags} 4") == "STATUS_CREATED"
    assert server.ask("reply 128 0 0 4") == "STATUS_OK"
    assert client.line() == f"STATUS_OK label=128 param=0 size=0 sum=0 token={slot}"


def test_echo_as_the_reference_writes_it(running: System, programs: Path, client: App) -> None:
    running.start("echo", {"echo": "server"}, programs / "echo_server")
    running.servers["msg0"].event("ready", app="echo")
    client.ask(f"request echo 2 {FLAG_SEND_TOKEN}")
    for size in (0, 1, 100, PAYLOAD_MAX_SIZE):
        total = sum(n % 256 for n in range(size))
        wanted = f"STATUS_OK label=128 param=6 size={size} sum={total} token=0"
        assert client.ask(f"call 2 {FLAG_SEND_PAYLOAD} 9 5 {size} 0") == wanted
    # What the caller did not agree to receive is dropped, the rest arrives.
    assert client.ask("call 2 0 9 5 10 0") == "STATUS_OK label=128 param=6 size=0 sum=0 token=0"
    assert client.ask(f"call 2 0 9 5 {PAYLOAD_MAX_SIZE + 1} 0") == "STATUS_BAD_REQUEST"


def test_what_the_flags_do_not_allow_is_unauthorized(client: App, server: App) -> None:
    connect(client, server, 0)
    assert client.ask("call 2 0 1 0 1 0") == "STATUS_UNAUTHORIZED"
    assert client.ask("create 5 0 6") == "STATUS_CREATED"
    assert client.ask("call 2 0 1 0 0 6") == "STATUS_UNAUTHORIZED"
    assert client.ask("info 6") == "STATUS_OK 0", "the token stayed"
    assert client.ask("send 2 1 0 1 0") == "STATUS_UNAUTHORIZED"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("call 9 0 1 0 0 0", "INVALID_TOKEN"),
        ("call 0 0 1 0 0 0", "BAD_REQUEST"),
        (f"call {TOKENS_PER_APP} 0 1 0 0 0", "BAD_REQUEST"),
        ("send 9 1 0 0 0", "INVALID_TOKEN"),
        ("queue 9 1", "INVALID_TOKEN"),
        ("delete 9", "INVALID_TOKEN"),
        ("delete 64", "BAD_REQUEST"),
        ("info 9", "INVALID_TOKEN 0"),
        ("move 9 9", "BAD_REQUEST"),
        ("move 8 9", "INVALID_TOKEN"),
        (f"create 1 {TOKEN_FLAGS_MASK + 1} 5", "BAD_REQUEST"),
        ("create 1 0 0", "BAD_REQUEST"),
        ("map 9", "INVALID_TOKEN 0 0"),
        ("buffer 0 5 0", "BAD_REQUEST"),
        (f"buffer {BUFFER_MAX_SIZE + 1} 5 0", "BAD_REQUEST"),
        ("name 12345", "NOT_FOUND "),
        ("dropped 12345", "NOT_FOUND 0"),
        ("query idle", "UNAVAILABLE"),
        ("query other", "NOT_FOUND"),
        (f"query {'x' * PORT_NAME_MAX}", "NOT_FOUND"),
        (f"query {'x' * (PORT_NAME_MAX + 1)}", "BAD_REQUEST"),
        ("bind idle", "UNAUTHORIZED"),
        ("unbind other", "NOT_FOUND"),
        (f"request idle 2 {FLAG_SEND_TOKEN}", "UNAVAILABLE"),
        (f"request other 2 {FLAG_SEND_TOKEN}", "NOT_FOUND"),
        ("request idle 0 0", "BAD_REQUEST"),
        ("reply 128 0 0 0", "NO_REPLY"),
        ("receive 0 1000", "NO_REPLY"),
        ("ping", "PONG"),
    ],
)
def test_a_misuse_has_its_status(client: App, command: str, status: str) -> None:
    assert client.ask(command) == f"STATUS_{status}"


def test_slots_come_from_a_pool_of_63(client: App) -> None:
    assert client.ask("create 1 0 63") == "STATUS_CREATED"
    given = [client.ask("alloc") for _ in range(TOKENS_PER_APP)]
    # Slot 0 holds nothing, 1 is the client's receive slot, 63 is in use.
    assert given[:-3] == [f"STATUS_OK {slot}" for slot in range(62, 1, -1)]
    assert set(given[-3:]) == {"STATUS_AT_TOKEN_LIMIT 0"}
    assert client.ask("free 40") == "STATUS_OK"
    assert client.ask("alloc") == "STATUS_OK 40"


def test_tokens_are_created_moved_and_deleted(client: App) -> None:
    assert client.ask("create 7 3 10") == "STATUS_CREATED"
    assert client.ask("create 8 0 10") == "STATUS_CONFLICT"
    assert client.ask("move 11 10") == "STATUS_OK"
    assert client.ask("info 10") == "STATUS_INVALID_TOKEN 0"
    assert client.ask("info 11") == "STATUS_OK 3"
    assert client.ask("call 11 0 1 0 0 0") == "STATUS_BAD_REQUEST", "nobody calls himself"
    assert client.ask("delete 11") == "STATUS_OK"
    assert client.ask("delete 11") == "STATUS_INVALID_TOKEN"
    assert client.ask("create 9 0 11") == "STATUS_CREATED"
    assert client.ask("revoke 9") == "STATUS_OK"
    assert client.ask("info 11") == "STATUS_INVALID_TOKEN 0"


def test_a_moved_token_goes_on_working(client: App, server: App) -> None:
    connect(client, server, 0)
    assert client.ask("move 20 2") == "STATUS_OK"
    client.tell("call 20 0 9 5 0 0")
    assert server.ask(f"receive 0 {WAIT}").startswith(
        f"badge=77 caller={client.id:x} queued=0 STATUS_OK label=9"
    )
    assert server.ask("reply 128 1 0 0") == "STATUS_OK"
    assert client.line() == "STATUS_OK label=128 param=1 size=0 sum=0 token=0"


def test_a_revoked_badge_stops_every_token_of_it_wherever_it_is(client: App, server: App) -> None:
    connect(client, server, 0, slot=2, badge=77)
    connect(client, server, 0, slot=6, badge=77)
    connect(client, server, 0, slot=8, badge=78)
    client.tell("call 2 0 9 5 0 0")
    assert server.ask(f"receive 0 {WAIT}").startswith("badge=77")
    assert server.ask("revoke 77") == "STATUS_OK"
    assert client.line() == "STATUS_INVALID_TOKEN", "a caller that waits is told at once"
    assert client.ask("call 6 0 9 5 0 0") == "STATUS_INVALID_TOKEN"
    assert client.ask("info 8") == "STATUS_OK 0"
    client.tell("call 8 0 9 5 0 0")
    assert server.ask(f"receive 0 {WAIT}").startswith("badge=78"), "nothing of 77 arrives any more"


def test_a_slot_with_a_dead_token_takes_a_new_one(client: App, server: App) -> None:
    connect(client, server, 0)
    server.ask("revoke 77")
    connect(client, server, FLAG_SEND_PAYLOAD)
    assert client.ask("info 2") == f"STATUS_OK {FLAG_SEND_PAYLOAD}"


def test_a_slot_with_a_live_token_takes_no_other(client: App, server: App) -> None:
    connect(client, server, 0)
    assert client.ask(f"request shell 2 {FLAG_SEND_TOKEN}") == "STATUS_CONFLICT"


def test_a_single_use_token_is_used_up_by_one_call(client: App, server: App) -> None:
    connect(client, server, TOKEN_FLAG_SINGLE_USE)
    client.tell("call 2 0 9 5 0 0")
    server.ask(f"receive 0 {WAIT}")
    server.ask("reply 128 1 0 0")
    assert client.line().startswith("STATUS_OK")
    assert client.ask("call 2 0 9 5 0 0") == "STATUS_INVALID_TOKEN"
    assert client.ask("queue 2 1") == "STATUS_INVALID_TOKEN"
    assert client.ask("delete 2") == "STATUS_OK"


def test_what_was_sent_before_a_token_was_deleted_still_arrives(client: App, server: App) -> None:
    connect(client, server, 0)
    assert server.ask("receive 0 1000") == "STATUS_NO_REPLY"  # it has the mailbox now
    client.ask("send 2 4 0 0 0")
    client.ask("queue 2 5")
    assert client.ask("delete 2") == "STATUS_OK"
    heard = [server.ask(f"receive 0 {SECOND // 5}") for _ in range(3)]
    assert [line.split("label=")[-1].split()[0] for line in heard] == ["5", "4", "STATUS_NO_REPLY"]


@pytest.mark.parametrize("end", ["deleted", "died"])
@pytest.mark.parametrize("looks", ["before", "after"])
def test_a_one_way_message_with_a_token_outlives_its_sender(
    running: System, client: App, server: App, end: str, looks: str
) -> None:
    """Whether the receiver had the mailbox before or only looks after the end."""
    connect(client, server, FLAG_SEND_TOKEN)
    if looks == "before":
        assert server.ask("receive 3 1000") == "STATUS_NO_REPLY"  # it has the mailbox now
    assert client.ask("buffer 100 30 77") == "STATUS_CREATED"
    assert client.ask("send 2 9 0 0 30") == "STATUS_OK"
    if end == "deleted":
        assert client.ask("delete 2") == "STATUS_OK"
    else:
        client.kill()
        running.servers["msg0"].event("disconnected", app="client")
    assert server.ask(f"receive 3 {WAIT}").endswith("label=9 param=0 size=0 sum=0 token=3")
    assert server.ask("map 3") == "STATUS_OK 100 77"


def test_a_token_that_died_with_its_sender_does_not_keep_the_message(
    running: System, client: App, server: App
) -> None:
    connect(client, server, FLAG_SEND_TOKEN)
    assert server.ask("receive 3 1000") == "STATUS_NO_REPLY"
    assert client.ask("create 500 0 30") == "STATUS_CREATED"
    assert client.ask("send 2 9 0 0 30") == "STATUS_OK"
    client.kill()
    running.servers["msg0"].event("disconnected", app="client")
    assert server.ask(f"receive 3 {WAIT}").endswith("label=9 param=0 size=0 sum=0 token=0")
    assert server.ask("info 3") == "STATUS_INVALID_TOKEN 0"


def test_a_guessed_slot_never_leaves_the_app(running: System, client: App) -> None:
    """The message server, which is stopped meanwhile, has nothing to say, and so nothing to report."""
    assert client.ask("ping") == "STATUS_PONG"  # it has begun
    process = running.servers["msg0"].process
    process.send_signal(signal.SIGSTOP)
    try:
        for slot in range(2, 64):
            for guess in (f"call {slot} 0 9 0 0 0", f"send {slot} 9 0 0 0", f"queue {slot} 9", f"map {slot}"):
                assert client.ask(guess).split()[0] == "STATUS_INVALID_TOKEN"
            assert client.ask(f"info {slot}") == "STATUS_INVALID_TOKEN 0"
            assert client.ask(f"delete {slot}") == "STATUS_INVALID_TOKEN"
            assert client.ask(f"move {slot - 1} {slot}") == "STATUS_INVALID_TOKEN"
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_token_moves_with_a_message_and_works_from_there(
    running: System, programs: Path, client: App, server: App
) -> None:
    """The client gives away its own token; then the server calls the client."""
    connect(client, server, FLAG_SEND_TOKEN)
    assert client.ask(f"create 500 {FLAG_SEND_PAYLOAD} 30") == "STATUS_CREATED"
    client.tell("call 2 0 9 0 0 30")
    assert server.ask(f"receive 3 {WAIT}").endswith("token=3")
    assert server.ask("reply 128 0 0 0") == "STATUS_OK"
    client.line()
    assert client.ask("info 30") == "STATUS_INVALID_TOKEN 0", "moved, not copied"
    assert server.ask("info 3") == f"STATUS_OK {FLAG_SEND_PAYLOAD}"
    server.tell("call 3 0 21 0 8 0")
    assert f"badge=500 caller={server.id:x}" in client.ask(f"receive 0 {WAIT}")
    client.ask("reply 128 22 0 0")
    assert "param=22" in server.line()


def test_a_server_that_does_not_agree_receives_no_token(client: App, server: App) -> None:
    connect(client, server, FLAG_SEND_TOKEN)
    client.ask("create 500 0 30")
    client.tell("call 2 0 9 0 0 30")
    assert server.ask(f"receive 0 {SECOND // 5}") == "STATUS_NO_REPLY"
    assert client.line() == f"STATUS_OK label={141} param=0 size=0 sum=0 token=0"


def test_a_reply_brings_a_token_only_where_it_is_wanted(client: App, server: App) -> None:
    connect(client, server, 0)
    for flags, token in ((0, 0), (FLAG_SEND_TOKEN, 1)):
        server.ask("create 90 0 40")
        client.tell(f"call 2 {flags} 9 0 0 0")
        server.ask(f"receive 0 {WAIT}")
        server.ask("reply 128 0 0 40")
        assert client.line() == f"STATUS_OK label=128 param=0 size=0 sum=0 token={token}"
        server.ask("delete 40")
    assert client.ask("info 1") == "STATUS_OK 0"


@pytest.mark.parametrize("why", ["not wanted", "gone", "one way"])
def test_a_token_given_in_an_answer_leaves_its_slot_though_nobody_takes_it(
    running: System, client: App, server: App, why: str
) -> None:
    """An app that makes each token in the same slot goes on, whatever its clients do."""
    connect(client, server, 0)
    assert server.ask("create 90 0 40") == "STATUS_CREATED"
    client.tell("send 2 9 0 0 0" if why == "one way" else "call 2 0 9 0 0 0")
    assert server.ask(f"receive 0 {10 * SECOND}").startswith("badge=77")
    if why == "gone":
        client.kill()
        running.servers["msg0"].event("disconnected", app="client")
    server.ask("reply 128 0 0 40")
    server.ask("receive 0 1000")
    assert server.ask("create 91 0 40") == "STATUS_CREATED"


def test_a_token_for_a_requester_that_is_gone_leaves_its_slot(
    running: System, client: App, server: App
) -> None:
    client.tell(f"request shell 2 {FLAG_SEND_TOKEN}")
    assert server.ask(f"receive 3 {10 * SECOND}").startswith(f"badge={REQUEST_BADGE}")
    assert server.ask("create 90 0 40") == "STATUS_CREATED"
    client.kill()
    running.servers["msg0"].event("disconnected", app="client")
    assert server.ask("reply 128 0 0 40") == "STATUS_OK"
    assert server.ask("create 91 0 40") == "STATUS_CREATED"


@pytest.mark.parametrize("left", [0, 1])
def test_without_a_descriptor_left_a_connection_is_refused_and_its_slot_stays_free(
    client: App, server: App, left: int
) -> None:
    connect(client, server, 0, slot=6)
    pid = client.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    free = sorted(set(range(before[0])) - {int(name) for name in os.listdir(f"/proc/{pid}/fd")})
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[left], before[1]))
    client.tell(f"request shell 2 {FLAG_SEND_TOKEN}")
    server.ask(f"receive 3 {10 * SECOND}")
    assert server.ask("create 78 0 4") == "STATUS_CREATED"
    assert server.ask("reply 128 0 0 4") == "STATUS_OK"
    assert client.line() == "STATUS_NOT_ENOUGH_MEMORY"
    assert client.ask("create 500 0 2") == "STATUS_CREATED"
    assert client.ask("delete 2") == "STATUS_OK"
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    connect(client, server, 0)
    assert client.ask("info 2") == "STATUS_OK 0"


def test_the_queue_is_bounded_and_its_drops_are_counted(client: App, server: App) -> None:
    connect(client, server, 0)
    sent = [client.ask(f"queue 2 {n}") for n in range(QUEUE_LENGTH + 3)]
    assert sent == ["STATUS_OK"] * QUEUE_LENGTH + ["STATUS_FULL"] * 3
    heard = [server.ask(f"receive 0 {WAIT}") for _ in range(QUEUE_LENGTH)]
    assert [int(line.split("label=")[1].split()[0]) for line in heard] == list(range(QUEUE_LENGTH))
    assert server.ask("receive 0 1000") == "STATUS_NO_REPLY"
    assert server.ask("dropped 77") == "STATUS_OK 3"
    assert client.ask("queue 2 1") == "STATUS_OK", "there is room again"


def test_a_send_waits_only_for_the_one_before_it(client: App, server: App) -> None:
    connect(client, server, 0)
    assert client.ask("send 2 1 0 0 0") == "STATUS_OK"
    client.tell("send 2 2 0 0 0")
    assert "label=1" in server.ask(f"receive 0 {WAIT}")
    assert client.line() == "STATUS_OK"
    assert "label=2" in server.ask(f"receive 0 {WAIT}")


def test_a_buffer_is_shared_through_its_token(client: App, server: App) -> None:
    connect(client, server, FLAG_SEND_TOKEN)
    assert client.ask("buffer 100000 30 201") == "STATUS_CREATED"
    client.tell("call 2 0 9 0 0 30")
    server.ask(f"receive 3 {WAIT}")
    server.ask("reply 128 0 0 0")
    client.line()
    assert server.ask("map 3") == "STATUS_OK 100000 201"
    assert client.ask("map 30") == "STATUS_INVALID_TOKEN 0 0"


def test_the_server_learns_its_clients_name(client: App, server: App) -> None:
    connect(client, server, 0)
    assert server.ask(f"name {client.id}") == "STATUS_OK client"


def test_a_connection_request_ends_when_its_server_dies(client: App, server: App) -> None:
    client.tell(f"request shell 2 {FLAG_SEND_TOKEN}")
    server.ask(f"receive 3 {WAIT}")
    server.kill()
    assert client.line() == "STATUS_UNAVAILABLE"


def test_a_server_app_may_refuse_a_connection(client: App, server: App) -> None:
    client.tell(f"request shell 2 {FLAG_SEND_TOKEN}")
    server.ask(f"receive 3 {WAIT}")
    server.ask("reply 141 0 0 0")
    assert client.line() == "STATUS_UNAUTHORIZED"
    client.tell(f"request shell 2 {FLAG_SEND_TOKEN}")
    server.ask(f"receive 3 {WAIT}")
    server.ask("reply 128 0 0 50")  # a token that is not there: the client must not wait for it
    assert client.line() == "STATUS_INTERNAL_ERROR"


def test_a_call_ends_when_its_server_dies(client: App, server: App) -> None:
    connect(client, server, 0)
    client.tell("call 2 0 9 5 0 0")
    server.ask(f"receive 0 {WAIT}")
    server.kill()
    assert client.line() == "STATUS_UNAVAILABLE"
    assert client.ask("send 2 1 0 0 0") == "STATUS_UNAVAILABLE"
    assert client.ask("queue 2 1") == "STATUS_UNAVAILABLE"
    assert client.ask("info 2") == "STATUS_UNAVAILABLE 0"


def test_nothing_hangs_when_the_message_server_dies(running: System, client: App, server: App) -> None:
    connect(client, server, 0)
    client.tell("call 2 0 9 5 0 0")
    server.ask(f"receive 0 {WAIT}")
    running.servers["msg0"].process.kill()
    assert client.line() == "STATUS_UNAVAILABLE", "the peer lives, and may answer for ever without being told"
    assert server.ask(f"receive 0 {WAIT}") == "STATUS_UNAVAILABLE"
    for command in ("ping", "query echo", "create 1 0 9", f"request echo 5 {FLAG_SEND_TOKEN}", "revoke 1"):
        assert client.ask(command) == "STATUS_UNAVAILABLE"


def test_a_request_is_routed_to_the_message_server_that_has_the_port(programs: Path) -> None:
    with system(msg0=["echo"], msg1=["shell"]) as running:
        server = running.start("server", {"shell": "server"}, programs / "shell")
        assert server.ask("bind shell") == "STATUS_OK"
        client = running.start("client", {"echo": "client", "shell": "client"}, programs / "shell")
        assert client.ask("query other") == "STATUS_NOT_FOUND"
        assert client.ask("query echo") == "STATUS_UNAVAILABLE"
        connect(client, server, FLAG_SEND_TOKEN)
        # A token of our own is made where it is first sent.
        assert client.ask("create 500 0 30") == "STATUS_CREATED"
        client.tell("call 2 0 9 0 0 30")
        assert server.ask(f"receive 3 {WAIT}").endswith("token=3")
