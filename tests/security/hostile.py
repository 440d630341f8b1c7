"""A hostile app beside two that talk to each other: it must fail and be reported, they must miss nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.device.systems import RunningSystem, app, install

PORT = "steady_protocol"
_SERVER = """
from kos.app import Server, ready
def main():
    server = Server()
    server.bind("steady_protocol", lambda request: (128, request.param + 1))
    ready()
    server.serve()
"""
# Each call must be answered with the next number; one line for every 20 calls shows that it goes on.
_CLIENT = """
import time
from kos.app import connect, ready
def main():
    token = connect("steady_protocol")
    ready()
    for number in range(10**9):
        answer = token.call(1, number)
        assert answer.param == number + 1, (number, answer.param)
        if number % 20 == 0:
            print("steady", number)
        time.sleep(0.005)
"""
SECRET = "kept-secret-of-the-victim"


@contextmanager
def beside_steady_apps(
    directory: Path,
    hostile: dict[str, Any],
    *,
    others: dict[str, dict[str, Any]] | None = None,
    ordinary_user: bool = False,
    options: dict[str, Any] | None = None,
    ports: tuple[str, ...] = (),
) -> Iterator[RunningSystem]:
    """The app `hostile`, others like it, and two steady ones; on leaving, these must have missed nothing."""
    access = {"msg0": {PORT: {"role": "server"}}}
    apps = {
        "hostile": hostile,
        **(others or {}),
        "steady_server": app(_SERVER, access=access, environ={"KEPT": SECRET}),
        "steady_client": app(_CLIENT, access={"msg0": {PORT: {"role": "client"}}}),
    }
    install(directory, apps, {"msg0": [PORT, *ports]}, options)
    with RunningSystem(directory, ordinary_user=ordinary_user) as system:
        yield system
        said = sum("| steady " in line for line in system.lines)
        system.wait_for("| steady ", said + 2)  # it goes on after all that
        status = system.status()
        for name in ("steady_server", "steady_client"):
            assert status["apps"][name]["restarts"] == 0, system.lines
            assert status["apps"][name]["ready"], system.lines
        assert status["msg_servers"]["msg0"]["restarts"] == 0
        assert system.stop() == 0
        steady = [int(line.rpartition(" ")[2]) for line in system.lines if "| steady " in line]
        assert steady == list(range(0, 20 * len(steady), 20))


def hostile_lines(system: RunningSystem) -> list[str]:
    """What the hostile app printed."""
    return [line.partition("| hostile            | ")[2] for line in system.lines if "| hostile  " in line]
