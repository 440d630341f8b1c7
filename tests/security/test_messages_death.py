"""Either side of a message dies, at any moment, under load: whoever waits gets a status and nothing hangs."""

from __future__ import annotations

import random
import signal

import pytest

from tests.device.msgserver.wire import DEADLINE, Server
from tests.security.test_messages_mailbox import ECHO, line_of

pytestmark = pytest.mark.group("security")

# Calls without pause and says what ended it: a status, never a hang.
CALLER = """
from kos import app

token = app.connect("echo")
print("connected", flush=True)
try:
    while True:
        token.call(128, 0, b"x" * 100)
except app.StatusError as error:
    print(error.status.name, flush=True)
"""

# Asks for a connection that nobody answers.
ASKER = """
import sys
from kos import app

print("asking", flush=True)
try:
    app.connect("echo", timeout=0)
except app.StatusError as error:
    print(error.status.name, flush=True)
"""

# Binds and then never answers.
DEAF = """
import time
from kos import app

app.Server().bind("echo", lambda request: None)
print("serving", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def server():
    server = Server("echo")
    yield server
    server.stop()


def test_callers_of_a_killed_app_get_a_status(server):
    choice = random.Random(3)
    for _ in range(5):
        owner = server.spawn("owner", ECHO, "1", echo="server")
        assert line_of(owner) == "serving"
        callers = [server.spawn(f"caller{index}", CALLER, echo="client") for index in range(3)]
        for caller in callers:
            assert line_of(caller) == "connected"
        # Somewhere in the middle of a call: the number of status questions varies the moment.
        for _ in range(choice.randrange(20)):
            server.status()
        owner.send_signal(signal.SIGKILL)
        assert {line_of(caller) for caller in callers} == {"UNAVAILABLE"}
        for caller in callers:
            assert caller.wait(DEADLINE) == 0


def test_a_killed_caller_takes_nothing_from_the_owner(server):
    owner = server.spawn("owner", ECHO, "1", echo="server")
    assert line_of(owner) == "serving"
    for _ in range(20):
        caller = server.spawn("caller", CALLER, echo="client")
        assert line_of(caller) == "connected"
        caller.send_signal(signal.SIGKILL)
        caller.wait(DEADLINE)
        server.wait_event("disconnected")
    assert server.status()["owner"]["clients"] == 0
    assert owner.poll() is None


def test_a_request_for_a_connection_ends_when_the_server_app_dies(server):
    deaf = server.spawn("deaf", DEAF, echo="server")
    assert line_of(deaf) == "serving"
    asker = server.spawn("asker", ASKER, echo="client")
    assert line_of(asker) == "asking"
    deaf.send_signal(signal.SIGKILL)
    assert line_of(asker) == "UNAVAILABLE"


def test_nobody_hangs_when_the_message_server_is_killed(server):
    deaf = server.spawn("deaf", DEAF, echo="server")
    assert line_of(deaf) == "serving"
    asker = server.spawn("asker", ASKER, echo="client")
    assert line_of(asker) == "asking"
    server.status()
    server.process.send_signal(signal.SIGKILL)
    assert line_of(asker) == "UNAVAILABLE"
    assert server.process.wait(DEADLINE) == -signal.SIGKILL


def test_a_serving_app_is_told_when_the_message_server_is_killed(server):
    owner = server.spawn("owner", ECHO, "1", echo="server")
    assert line_of(owner) == "serving"
    server.process.send_signal(signal.SIGKILL)
    assert owner.wait(DEADLINE) == 1
