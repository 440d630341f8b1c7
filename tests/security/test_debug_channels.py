"""What an app can make of debugging: of its own channel, of another's, and of the supervisor's streams."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device.debug.reading import ShellReader
from tests.device.systems import app
from tests.device.test_supervisor import USERS
from tests.security.hostile import beside_steady_apps

pytestmark = pytest.mark.group("security")

OPEN = {"remote_shell": True, "debugger": True}
_VICTIM = """
import time
secret = "of the victim"
def main():
    print("waits")
    time.sleep(1000)
"""
_ASK = """
import json, os, socket
def main():
    connection = socket.socket(fileno=int(os.environ["KOS_SUPERVISOR"]))
    answers = connection.makefile("rb")
    for wish in (
        {"op": "stream.list"},
        {"op": "stream.open", "kind": "shell", "app": "victim", "id": "a"},
        {"op": "stream.data", "id": "a", "data": ""},
    ):
        connection.sendall(json.dumps(wish).encode() + b"\\n")
        print("answer", json.loads(answers.readline()))
"""


def test_the_supervisors_socket_opens_no_channel(tmp_path: Path) -> None:
    hostile = app(_ASK, resources=[{"type": "supervisor"}])
    others = {"victim": app(_VICTIM, debug=True)}
    with beside_steady_apps(tmp_path, hostile, others=others, options=OPEN) as system:
        for number in (1, 2, 3):
            line = system.wait_for("| answer ", times=number)
            assert "this connection may not ask for" in line and "of the victim" not in line


_LOOK_FOR_MORE = """
import os, socket
def main():
    for fd in range(3, 256):
        try:
            one = socket.socket(fileno=os.dup(fd))
            one.setblocking(False)
            one.send(b"O" + bytes(4))
            print("sent through", fd)
        except OSError:
            pass
    print("done")
"""


@pytest.mark.parametrize("ordinary_user", USERS)
def test_an_app_that_is_not_open_has_no_descriptor_to_send_through(
    tmp_path: Path, ordinary_user: bool
) -> None:
    others = {"victim": app(_VICTIM, debug=True)}
    with beside_steady_apps(
        tmp_path, app(_LOOK_FOR_MORE), others=others, options=OPEN, ordinary_user=ordinary_user
    ) as system:
        system.wait_for("| done")
        assert not any("sent through" in line for line in system.lines)


_ABUSE = """
import os, socket, threading
def flood(channel, number):
    while True:
        for packet in (b"", b"x", b"B" + number + b"y" * 16384, b"B" + bytes(4) + b"z", b"C" + bytes(4)):
            channel.send(packet)
def main():
    # Its own channel, behind the back of the thread that serves it.
    for fd in range(3, 16):
        try:
            channel = socket.socket(fileno=os.dup(fd))
            if channel.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_SEQPACKET:
                break
        except OSError:
            pass
    print("floods")
    for number in range(3):
        threading.Thread(target=flood, args=(channel, number.to_bytes(4, "big"))).start()
"""


def test_a_flood_of_ones_own_channel_harms_nobody(tmp_path: Path) -> None:
    others = {"victim": app(_VICTIM, debug=True)}
    with beside_steady_apps(tmp_path, app(_ABUSE, debug=True), others=others, options=OPEN) as system:
        system.wait_for("| floods")
        system.wait_for("| waits")
        with ShellReader(system, "hostile") as own, ShellReader(system, "victim") as shell:
            shell.until_prompt()
            assert shell.run("secret") == "'of the victim'\n"
            own.stream.receive()  # whatever it is
            assert shell.run("secret") == "'of the victim'\n"
