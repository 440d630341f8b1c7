"""Restarts leave nothing behind: descriptors, processes, memory, files, namespaces, control groups."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from kos.device.limits import CGROUPS
from tests.device.systems import DEADLINE, RunningSystem, app, c_app, install

pytestmark = [pytest.mark.group("security"), pytest.mark.timeout(600)]

RESTARTS = 1000  # as many as the specification promises: half by failure, half by order
PORT = {"msg0": {"p": {"role": "server"}}}
READY = """
import time
from kos.app import ready
def main():
    ready()
    time.sleep(1000)
"""


def descriptors(pid: int) -> list[str]:
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it may be closed while we look
            found.append(os.readlink(fd).split(":")[0])
    return sorted(found)


def resident(pid: int) -> int:
    """Bytes of memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it ended
        return []


def groups(pid: int) -> list[str]:
    return sorted(str(path) for path in CGROUPS.glob(f"**/kos-{pid}/*/"))


def mounts(place: Path) -> list[str]:
    """What is mounted of a system's files, or in them; other programs mount things beside them."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if place.name in line]


def test_restarts_leak_nothing(tmp_path: Path) -> None:
    """By order and by failure; counted in the supervisor, in its message server and on the machine."""
    rule = {
        "policy": "on-failure",
        "backoff_initial": 0.0,
        "backoff_max": 0.0,
        "limit": RESTARTS // 2,
        "window": 3600.0,
    }
    apps = {
        "failing": c_app("int main(void) { return 1; }", restart=rule),
        "asked": app(READY, access=PORT),
    }
    install(tmp_path, apps, {"msg0": ["p"]})
    with RunningSystem(tmp_path) as system:
        pid = system.process.pid

        with system.client() as orders, system.client() as listener:
            events = listener.events()
            ready = {"event": "app", "name": "asked", "ready": True}

            def restart_asked(times: int) -> None:
                for _ in range(times):
                    orders.restart("asked")
                    next(event for event in events if ready.items() <= event.items())

            def held() -> list[list[str]]:
                """What the supervisor and its message server hold, and what they made on the machine."""
                server = orders.status()["msg_servers"]["msg0"]["pid"]
                (inner,) = children(server)
                return [
                    descriptors(pid),
                    descriptors(int(inner)),
                    children(pid),
                    groups(pid),
                    mounts(tmp_path),
                ]

            system.wait_for("failing: failed too often", deadline=300)

            def settled() -> list[list[str]]:
                """The same in two looks: what is on its way out is gone then."""
                end, last = time.monotonic() + DEADLINE, held()
                while (now := held()) != last:
                    assert time.monotonic() < end, (last, now)
                    last = now
                return now

            restart_asked(3)
            before, memory = settled(), resident(pid)
            restart_asked(RESTARTS // 2)
            end, after = time.monotonic() + DEADLINE, held()
            while [len(each) for each in after] != [len(each) for each in before]:
                assert time.monotonic() < end, (before, after)  # what leaked stays
                after = held()
            assert after[:2] == before[:2]
            assert resident(pid) < memory + (4 << 20)
        assert system.stop() == 0
    assert not groups(pid)
    assert not (tmp_path / "control.sock").exists()


_SERVE = """
from kos.app import Server, ready
def main():
    server = Server()
    server.bind("p", lambda request: (128, request.param + 1, request.payload))
    ready()
    server.serve()
"""
# Calls without pause; what ends a call is a status, and then it connects anew.
_CALL = """
from kos.app import StatusError, connect, ready
def main():
    token = connect("p")
    ready()
    number = 0
    while True:
        number += 1
        try:
            answer = token.call(1, number, b"x" * (number % 4000))
            assert (answer.param, len(answer.payload)) == (number + 1, number % 4000), number
        except StatusError as error:
            print("status", error.status.name)
            token = connect("p")
        if number % 1000 == 0:
            print("called", number)
"""
KILLS = 6  # of each app and of the message server


def test_kills_at_any_moment_under_load(tmp_path: Path) -> None:
    """kill -9 of apps and message server, from outside or within: all goes on, nothing is left."""
    rule = {
        "policy": "always",
        "backoff_initial": 0.0,
        "backoff_max": 0.0,
        "limit": 1000,
        "window": 1.0,
    }
    callers = ["caller0", "caller1", "caller2"]
    apps = {
        "owner": app(_SERVE, access=PORT, restart=rule),
        **{name: app(_CALL, access={"msg0": {"p": {"role": "client"}}}, restart=rule) for name in callers},
    }
    install(tmp_path, apps, {"msg0": ["p"]})
    seed = time.time_ns()
    choice = random.Random(seed)
    print("seed", seed)  # shown when the test fails
    with RunningSystem(tmp_path) as system, system.client() as orders:
        pid = system.process.pid

        def units() -> dict[str, dict[str, Any]]:
            status = orders.status()
            return {**status["apps"], **status["msg_servers"]}

        def all_run(since: dict[str, int]) -> dict[str, dict[str, Any]]:
            """Wait until everything runs, and those in `since` are not what they were."""
            end = time.monotonic() + DEADLINE
            while True:
                found = units()
                if all(each["ready"] for each in found.values()) and not any(
                    found[name]["pid"] == old for name, old in since.items()
                ):
                    return found
                assert time.monotonic() < end, (since, found, system.lines[-40:])

        def held(found: dict[str, dict[str, Any]]) -> list[list[str]]:
            """What is held; nothing at all while the message server is just being started again."""
            if len(servers := children(found["msg0"]["pid"])) != 1:
                return []
            (server,) = servers
            try:
                own = descriptors(int(server))
            except (FileNotFoundError, ProcessLookupError):
                return []
            return [descriptors(pid), own, children(pid), groups(pid), mounts(tmp_path)]

        def counted() -> list[int]:
            end = time.monotonic() + DEADLINE
            while not (counts := [len(each) for each in held(all_run({}))]):
                assert time.monotonic() < end, system.lines[-40:]
            return counts

        def all_call() -> None:
            """Each caller goes on: then the message server has let go of the descriptors that it gave."""
            for name in callers:
                called = sum(f"| {name} " in line and "| called " in line for line in system.lines)
                system.wait_for(lambda line, n=name: f"| {n} " in line and "| called " in line, called + 2)

        all_call()
        before = counted()
        # Each as often as the others: a message server killed more than ten times a minute stays down.
        victims = list(all_run({})) * KILLS
        choice.shuffle(victims)
        for victim in victims:
            found = all_run({})
            init = found[victim]["pid"]
            inner = [int(child) for child in children(init)]
            for _ in range(choice.randrange(30)):  # somewhere in the middle of a call
                units()
            with contextlib.suppress(ProcessLookupError):
                os.kill(choice.choice([init, *inner]), signal.SIGKILL)
            all_run({victim: init})
        all_call()
        end = time.monotonic() + DEADLINE
        while (after := counted()) != before:  # who was killed last connects anew; what leaked stays
            assert time.monotonic() < end, (before, after, held(all_run({})))
        assert [line for line in system.lines if "AssertionError" in line] == []
        assert system.stop() == 0
    assert not groups(pid)
