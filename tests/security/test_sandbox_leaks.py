"""Restarts leave nothing behind: descriptors, processes, memory, files, namespaces, control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kos.device.limits import CGROUPS
from tests.device.systems import RunningSystem, app, c_app, install

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
    folder = Path(f"/proc/{pid}/fd")
    return sorted(os.readlink(fd).split(":")[0] for fd in folder.iterdir())


def resident(pid: int) -> int:
    """Bytes of memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def groups(pid: int) -> list[str]:
    return sorted(str(path) for path in CGROUPS.glob(f"**/kos-{pid}/*/"))


def mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


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
                return [descriptors(pid), descriptors(int(inner)), children(pid), groups(pid), mounts()]

            system.wait_for("failing: failed too often", deadline=300)
            restart_asked(3)
            before, memory = held(), resident(pid)
            restart_asked(RESTARTS // 2)
            after = held()
            assert [len(each) for each in after] == [len(each) for each in before]
            assert after[:2] == before[:2]
            assert resident(pid) < memory + (4 << 20)
        assert system.stop() == 0
    assert not groups(pid)
    assert not (tmp_path / "control.sock").exists()
