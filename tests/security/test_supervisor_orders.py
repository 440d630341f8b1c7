"""What reaches the supervisor from an app: orders of one that may give some, and what any app prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device.systems import app
from tests.security.hostile import beside_steady_apps

pytestmark = pytest.mark.group("security")

SUPERVISOR = [{"type": "supervisor"}]
_CONNECT = """
import os, socket
def connect():
    return socket.socket(fileno=int(os.environ["KOS_SUPERVISOR"]))
"""

_ASK_FOR_STATUS = """
def main():
    connection = connect()
    answers = connection.makefile("rb")
    for _ in range(4):
        connection.sendall(b'{"op": "status"}\\n' * 1000)
        for _ in range(1000):
            assert b'"ok": true' in answers.readline()
    print("answered")
"""


def test_a_flood_of_questions_does_not_end_the_message_servers(tmp_path: Path) -> None:
    hostile = app(_CONNECT + _ASK_FOR_STATUS, resources=SUPERVISOR)
    with beside_steady_apps(tmp_path, hostile) as system:
        system.wait_for("| hostile            | answered")


_LISTEN_OFTEN = """
def main():
    connection = connect()
    answers = connection.makefile("rb")
    for _ in range(50):
        connection.sendall(b'{"op": "console"}\\n{"op": "events"}\\n' * 100)
    print("one line")
    count = 0
    while True:
        line = answers.readline()
        count += b"| one line" in line
        if b"| steady " in line:
            break
    print("heard", count)
"""


def test_asking_for_the_console_often_gives_it_once(tmp_path: Path) -> None:
    hostile = app(_CONNECT + _LISTEN_OFTEN, resources=SUPERVISOR)
    with beside_steady_apps(tmp_path, hostile) as system:
        system.wait_for(lambda line: line.endswith("| heard 1"))


_LONG_LINES = """
import time
def main():
    for number in range(1000):
        print("\\x01" * 4000)
        time.sleep(0.002)
    print("done")
"""


def test_long_lines_do_not_keep_others_from_the_history(tmp_path: Path) -> None:
    """The history goes to a reader in one piece, and a reader is dropped who leaves too much unread."""
    with beside_steady_apps(tmp_path, app(_LONG_LINES)) as system:
        system.wait_for("| hostile            | done")
        with system.client() as client:
            assert any("| done" in line for line in client.console(history=True)), "it was sent away"


def test_text_that_our_own_output_cannot_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    source = "def main():\n    print('snowman \u2603')\n    print('done')"
    with beside_steady_apps(tmp_path, app(source)) as system:
        system.wait_for("| hostile            | done")
    assert any("snowman \\u2603" in line for line in system.lines)
