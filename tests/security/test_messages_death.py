"""Either side of a message dies, at any moment, under load: whoever waits gets a status and nothing hangs."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from tests.device.msgserver.wire import DEADLINE, Server
from tests.device.systems import RunningSystem, app, install
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


_SERVE = """
from kos.app import Server, ready
def main():
    server = Server()
    server.bind("echo", lambda request: None)
    ready()
    print("serving")
    server.serve()
"""


def test_apps_that_notice_the_death_before_the_supervisor_are_started_again(tmp_path: Path) -> None:
    """Also those that are never restarted for a failure of their own."""
    install(
        tmp_path, {"owner": app(_SERVE, access={"msg0": {"echo": {"role": "server"}}})}, {"msg0": ["echo"]}
    )
    with RunningSystem(tmp_path) as system:
        system.wait_for("| serving")
        init = system.status()["msg_servers"]["msg0"]["pid"]
        status = Path(f"/proc/{init}/status").read_text().splitlines()
        outside = next(int(line.split()[1]) for line in status if line.startswith("PPid:"))
        (inside,) = map(int, Path(f"/proc/{init}/task/{init}/children").read_text().split())
        os.kill(outside, signal.SIGSTOP)  # it is what tells the supervisor
        try:
            os.kill(inside, signal.SIGKILL)
            system.wait_for("| owner: exited with status 1")
        finally:
            os.kill(outside, signal.SIGCONT)
        system.wait_for("| serving", times=2)
        assert system.stop() == 0
