"""Python apps talk through a real message server."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Iterator

import pytest

from tests.app.system import DEADLINE, System, system

ECHO = """
from kos import app
server = app.Server(accept_tokens=True)
def handle(request):
    if request.label == 1:
        return request.payload
    if request.label == 2:
        return app.Status.OK, request.param + 1
    if request.label == 3:
        raise app.StatusError(app.Status.FULL)
    if request.label == 4:
        raise ValueError("a bug")
    if request.label == 5:
        return app.Status.OK, 0, request.client.name.encode()
    if request.label == 6:
        print(request.queued, request.one_way, request.label, request.payload[:5])
        return None
    if request.label == 7:
        server.revoke(request.client)
        return None
    if request.label == 8:
        request.client.data = (request.client.data or 0) + 1
        return app.Status.OK, request.client.data
    if request.label == 9:
        reply = request.token.call(1, 0, b"back to you")
        return app.Status.OK, 0, reply.payload
    if request.label == 10:
        return [bytes(4097), "text", (-1, 0), (1 << 64, 0), (1, 2, 3, 4, 5), 7][request.param]
    raise app.StatusError(app.Status.NOT_IMPLEMENTED)
server.bind("echo", handle, flags=app.FLAG_SEND_PAYLOAD | app.FLAG_SEND_TOKEN)
app.ready()
server.serve()
"""
# Evaluates each line of its input and prints the result: the test speaks through it.
CLIENT = """
import sys
from kos import app
from kos.app import Status, StatusError
names = {"app": app, "Status": Status, "StatusError": StatusError}
for line in sys.stdin:
    try:
        try:
            print(repr(eval(line, names)))
        except SyntaxError:
            exec(line, names)
            print("done")
    except StatusError as error:
        print("status", error.status.name)
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def running() -> Iterator[System]:
    with system(msg0=["echo", "other"]) as built:
        built.start_python("server", {"echo": "server"}, ECHO)
        built.servers["msg0"].event("ready", app="server")
        yield built


@pytest.fixture
def client(running: System):
    started = running.start_python("client", {"echo": "client", "other": "client"}, CLIENT)
    assert started.ask("token = app.connect('echo')") == "done"
    return started


_INTERRUPTED = """
import signal, sys
from kos import app

class Interrupted(Exception):
    pass

def interrupt(*_):
    global asking
    if asking:  # once for each request
        asking = False
        raise Interrupted

asking = False
signal.signal(signal.SIGUSR1, interrupt)
print("begins")
for _ in range(3):
    try:
        asking = True
        app.connect("other")
    except Interrupted:
        print("interrupted")
print(app.connect("echo").call(1, 0, b"hello").payload)
"""


def test_a_request_for_a_connection_that_was_interrupted_is_not_in_the_way_of_the_next(running) -> None:
    deaf = running.start_python(
        "deaf",
        {"other": "server"},
        "import sys\nfrom kos import app\napp.Server().bind('other', print)\napp.ready()\nsys.stdin.read()",
    )
    running.servers["msg0"].event("ready", app="deaf")
    app = running.start_python("client", {"echo": "client", "other": "client"}, _INTERRUPTED)
    assert app.line() == "begins"
    end = time.monotonic() + DEADLINE
    for _ in range(3):
        while not select.select([app.process.stdout], [], [], 0.02)[0]:  # again: it may have come too early
            assert time.monotonic() < end
            app.process.send_signal(signal.SIGUSR1)
        assert app.line() == "interrupted"
    assert app.line() == "b'hello'"
    deaf.kill()


# Waits in one thread for an app that does not answer, and serves in another.
_WAITS_AND_SERVES = """
import sys, threading
from kos import app
def wait():
    token = app.connect("deaf")
    if sys.argv[1] == "a call":
        print("waits")
        token.call(1)
if sys.argv[1] == "a connection":
    print("waits")
threading.Thread(target=wait, daemon=True).start()
server = app.Server()
def handle(request):
    server.revoke(server.create_token(handle)[1])
    return request.payload
server.bind("busy", handle)
app.ready()
server.serve()
"""
_DEAF = """
import sys
from kos import app
server = app.Server()
def never(*_):
    print("asked")
    sys.stdin.read()
server.bind("deaf", never, connect=never if sys.argv[1] == "a connection" else None)
app.ready()
server.serve()
"""


@pytest.mark.parametrize("what", ["a connection", "a call"])
def test_an_app_that_does_not_answer_holds_up_one_thread_of_another(what: str) -> None:
    set_argument = f"import sys; sys.argv = ['', {what!r}]\n"
    with system(msg0=["busy", "deaf"]) as running:
        deaf = running.start_python("deaf", {"deaf": "server"}, set_argument + _DEAF)
        running.servers["msg0"].event("ready", app="deaf")
        access = {"busy": "server", "deaf": "client"}
        busy = running.start_python("busy", access, set_argument + _WAITS_AND_SERVES)
        assert busy.line() == "waits"
        assert deaf.line() == "asked"
        client = running.start_python("client", {"busy": "client"}, CLIENT)
        assert client.ask("token = app.connect('busy')") == "done"
        assert client.ask("token.call(1, 0, b'served').payload") == "b'served'"


def test_a_call_carries_label_param_and_payload(client) -> None:
    assert client.ask("token.call(1, 0, b'hello').payload") == "b'hello'"
    assert client.ask("token.call(2, 41).param") == "42"
    assert client.ask("len(token.call(1, 0, bytes(4096)).payload)") == "4096"
    assert client.ask("token.call(1, 0, bytes(4097))") == "ValueError a payload has at most 4096 bytes"


def test_a_failure_label_is_raised_unless_unchecked(client) -> None:
    assert client.ask("token.call(3)") == "status FULL"
    assert client.ask("token.call(3, check=False).label == Status.FULL") == "True"
    assert client.ask("token.call(99)") == "status NOT_IMPLEMENTED"


def test_a_handlers_bug_is_answered_and_ends_nothing(client) -> None:
    assert client.ask("token.call(4)") == "status INTERNAL_ERROR"


@pytest.mark.parametrize("which", range(6), ids=["long", "text", "negative", "wide", "many", "number"])
def test_what_a_handler_may_not_return_is_answered_and_ends_nothing(client, which: int) -> None:
    assert client.ask(f"token.call(10, {which})") == "status INTERNAL_ERROR"
    assert client.ask("token.call(2, 1).param") == "2"


def test_a_server_knows_its_clients_by_name(client, running: System) -> None:
    assert client.ask("token.call(5).payload") == "b'client'"
    other = running.start_python("another", {"echo": "client"}, CLIENT)
    other.ask("token = app.connect('echo')")
    assert other.ask("token.call(5).payload") == "b'another'"
    assert [client.ask("token.call(8).param"), other.ask("token.call(8).param")] == ["1", "1"]


def test_one_way_messages_arrive_marked(client, running: System) -> None:
    server = running.apps[0]
    client.ask("token.send(6, 0, b'sent')")
    assert server.line() == "False True 6 b'sent'"
    client.ask("token.queue_send(6, b'queue')")
    assert server.line() == "True True 6 b'queue'"


def test_a_revoked_token_fails_always_the_same_way(client) -> None:
    for label in (7, 2, 2):  # the first one asks the server to revoke it, and waits for the answer
        assert client.ask(f"token.call({label})") == "status INVALID_TOKEN"
    assert client.ask("token = app.connect('echo')") == "done"
    assert client.ask("token.call(2, 1).param") == "2"


def test_a_dead_server_gives_unavailable_and_a_new_one_serves(client, running: System) -> None:
    running.apps[0].kill()
    running.servers["msg0"].event("disconnected", app="server")
    for _ in range(3):
        assert client.ask("token.call(2)") == "status UNAVAILABLE"
    running.start_python("server", {"echo": "server"}, ECHO)
    assert client.ask("token = app.connect('echo')") == "done"
    assert client.ask("token.call(2, 1).param") == "2"


def test_what_is_not_granted_does_not_exist(client) -> None:
    assert client.ask("app.connect('secret', timeout=0)") == "status NOT_FOUND"
    assert client.ask("app.connect('never heard of', timeout=0)") == "status NOT_FOUND"
    assert client.ask("app.connect('other', timeout=0)") == "status UNAVAILABLE"
    assert client.ask("app.query('echo'), app.query('other')") == "(True, False)"


def test_a_token_of_the_client_travels_to_the_server_and_works(client) -> None:
    threaded = (
        "import threading; local = app.Server(); made, mine = local.create_token(lambda r: r.payload + b'!');"
        "thread = threading.Thread(target=local.serve, daemon=True); thread.start()"
    )
    assert client.ask(threaded) == "done"
    assert client.ask("token.call(9, token=made).payload") == "b'back to you!'"
    assert client.ask("made.slot") == "0"


def test_the_end_of_the_message_server_ends_waiting(client, running: System) -> None:
    server = running.apps[0]
    running.servers["msg0"].process.kill()
    status, output = server.finish()
    assert status == 1
    assert "StatusError: UNAVAILABLE" in output
    assert client.ask("app.connect('echo', timeout=5)") == "status UNAVAILABLE"
    assert client.ask("token.call(2)") == "status UNAVAILABLE"
    assert client.ask("app.ping()") == "status UNAVAILABLE"


_COLLECTOR = """
import threading
from kos import app
server = app.Server(accept_tokens=True)
seen = []
def handle(request):
    if request.label == 1:
        seen.append(request.token is not None)
        return None
    if request.label == 2:
        token, _ = server.create_token(lambda again: (app.Status.OK, request.param))
        return app.Status.OK, request.param, b"", token
    return app.Status.OK, 0, bytes(seen)
server.bind("other", handle, flags=app.FLAG_SEND_PAYLOAD | app.FLAG_SEND_TOKEN)
app.ready()
server.serve()
"""
_GIVER = """
import threading
from kos import app
token = app.connect("other")
mine = app.Server()
for _ in range(50):
    token.send(1, token=mine.create_token(lambda request: None)[0])
print(token.call(3).payload == bytes([1] * 50))
wrong = []
def ask(first):
    for number in range(first, first + 50):
        reply = token.call(2, number, accept_token=True)
        if reply.token is None or reply.token.call(0).param != number:
            wrong.append(number)
threads = [threading.Thread(target=ask, args=(1000 * n,)) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(wrong)
"""


def test_tokens_that_follow_each_other_through_one_mailbox_all_arrive(running: System) -> None:
    """One way without waiting, and in replies to several threads."""
    running.start_python("collector", {"other": "server"}, _COLLECTOR)
    running.servers["msg0"].event("ready", app="collector")
    giver = running.start_python("giver", {"other": "client"}, _GIVER)
    assert giver.lines(2) == ["True", "[]"]
