"""Real systems under the real supervisor: order, restarts, stop, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kos.abi.errors import KosError
from kos.device.console.parse import parse_line
from kos.device.control import ControlClient
from kos.device.limits import CGROUPS
from tests.device.systems import DEADLINE, RunningSystem, app, c_app, install, needs_bubblewrap

USERS = [pytest.param(False, id="as-we-are")]
if os.geteuid() == 0:
    USERS.append(pytest.param(True, id="ordinary-user"))

READY = """
import sys, time
from kos.app import ready
def main():
    print("started", *sys.argv)
    ready()
    time.sleep(1000)
"""


ALONE = "import time\ndef main():\n    print('started')\n    time.sleep(1000)"


def access(**ports: str) -> dict[str, Any]:
    return {"msg0": {port: {"role": role} for port, role in ports.items()}}


@pytest.mark.parametrize("ordinary_user", USERS)
def test_apps_start_after_those_that_they_need_and_stop_before_them(
    tmp_path: Path, ordinary_user: bool
) -> None:
    install(
        tmp_path,
        {
            "a_last": app(READY, access=access(middle="client"), arguments=["one", "two words"]),
            "b_middle": app(READY, access=access(middle="server", first="client")),
            "c_first": app(READY, access=access(first="server")),
        },
        {"msg0": ["first", "middle"]},
    )
    with RunningSystem(tmp_path, ordinary_user=ordinary_user) as system:
        system.wait_for("3 of 3 apps ready")
        parsed = [parse_line(line) for line in system.lines]
        started = [line.app for line in parsed if line and line.text.startswith("started")]
        assert started == ["c_first", "b_middle", "a_last"]
        assert any("started a_last one two words" in line for line in system.lines)
        status = system.status()
        assert status["state"] == "running"
        assert {name: each["state"] for name, each in status["apps"].items()} == dict.fromkeys(
            ("a_last", "b_middle", "c_first"), "running"
        )
        assert all(each["memory"] > 0 and each["pid"] for each in status["apps"].values())
        assert status["apps"]["c_first"]["messages"]["msg0"]["ready"]
        with system.client() as client:
            events = client.events()
            os.kill(system.process.pid, signal.SIGINT)
            ended = [event["app"] for event in events if event["event"] == "ended"]
        assert ended == ["a_last", "b_middle", "c_first", "msg0"]
        assert system.stop() == 0, system.lines
    assert sorted(path.name for path in system.directory.iterdir() if path.name != "cache") == [
        "console.log",
        "manifest.json",
        "store",
    ]
    assert (system.directory / "console.log").read_text().splitlines() == system.lines


def test_a_circle_is_broken_and_told(tmp_path: Path) -> None:
    install(
        tmp_path,
        {
            "a": app(READY, access=access(pa="server", pb="client")),
            "b": app(READY, access=access(pb="server", pa="client")),
        },
        {"msg0": ["pa", "pb"]},
    )
    with RunningSystem(tmp_path) as system:
        system.wait_for("2 of 2 apps ready")
        system.wait_for("apps need each other in a circle, which is broken at b")


def test_failing_app_is_restarted_alone_until_its_limit(tmp_path: Path) -> None:
    failing = app(
        "def main():\n    raise RuntimeError('on purpose')",
        restart={
            "policy": "on-failure",
            "backoff_initial": 0.01,
            "backoff_max": 0.02,
            "limit": 3,
            "window": 60.0,
        },
    )
    install(tmp_path, {"failing": failing, "steady": app(READY, access=access(p="server"))}, {"msg0": ["p"]})
    with RunningSystem(tmp_path) as system:
        system.wait_for("failing: exited with status 1", times=4)
        system.wait_for("failing: failed too often, it stays down; the system is degraded")
        status = system.status()
        assert status["state"] == "degraded"
        assert status["apps"]["failing"]["state"] == "failed"
        assert status["apps"]["failing"]["restarts"] == 3
        assert status["apps"]["steady"]["restarts"] == 0
        assert sum("RuntimeError: on purpose" in line for line in system.lines) == 4
        system.restart("failing")  # by hand, it may fail as often again
        system.wait_for("failing: exited with status 1", times=8)


def test_policies(tmp_path: Path) -> None:
    rule = {"backoff_initial": 0.01, "backoff_max": 0.01, "limit": 2, "window": 60.0}
    install(
        tmp_path,
        {
            "always": app("def main(): pass", restart={"policy": "always", **rule}),
            "onfail": app("def main(): pass", restart={"policy": "on-failure", **rule}),
            "never": app("def main(): return 3", restart={"policy": "never", **rule}, critical=True),
        },
    )
    with RunningSystem(tmp_path) as system:
        system.wait_for("always: exited with status 0", times=3)
        system.wait_for("never: failed and is not restarted; the system is degraded")
        system.wait_for("onfail: exited with status 0")
        apps = system.status()["apps"]
        assert apps["onfail"]["state"] == "stopped" and apps["onfail"]["restarts"] == 0
        assert apps["never"]["state"] == "failed" and apps["never"]["restarts"] == 0
        assert apps["always"]["restarts"] == 2
        assert system.status()["state"] == "failed"  # a critical app is down


def test_death_of_the_message_server_restarts_it_and_its_apps(tmp_path: Path) -> None:
    install(
        tmp_path,
        {
            "one": app(READY, access=access(p="server")),
            "two": app(READY, access={"msg1": {"q": {"role": "server"}}}),
        },
        {"msg0": ["p"], "msg1": ["q"]},
    )
    with RunningSystem(tmp_path) as system:
        system.wait_for("2 of 2 apps ready")
        os.kill(system.status()["msg_servers"]["msg0"]["pid"], signal.SIGKILL)
        system.wait_for("one: stopped, its message server msg0 ended")
        system.wait_for("| started one", times=2)
        status = system.status()
        assert status["msg_servers"]["msg0"]["restarts"] == 1
        assert status["apps"]["one"]["restarts"] == 1
        assert status["apps"]["two"]["restarts"] == 0


def test_killed_supervisor_takes_everything_with_it(tmp_path: Path) -> None:
    idle = c_app("#include <unistd.h>\nint main(void) { for (;;) pause(); }")
    install(tmp_path, {"a": app(READY, access=access(p="server")), "c": idle}, {"msg0": ["p"]})
    with RunningSystem(tmp_path) as system:
        system.wait_for("2 of 2 apps ready")
        status = system.status()
        handles = [
            os.pidfd_open(each["pid"]) for each in (*status["apps"].values(), *status["msg_servers"].values())
        ]
        system.process.kill()
        for handle in handles:  # readable when the process is gone
            assert _readable(handle)
            os.close(handle)
    with RunningSystem(tmp_path) as again:  # and nothing is in the way of the next start
        again.wait_for("2 of 2 apps ready")
        assert again.stop() == 0


def _readable(fd: int) -> bool:
    import select

    return bool(select.select([fd], [], [], DEADLINE)[0])


def test_partial_line_is_not_lost_and_kept_apart(tmp_path: Path) -> None:
    source = "import os\ndef main():\n    os.write(1, b'first half')\n    os.write(2, b' second half')"
    install(tmp_path, {"a": app(source), "b": app(source.replace("half", "part"))})
    with RunningSystem(tmp_path) as system:
        system.wait_for("| a                  | first half second half")
        system.wait_for("| b                  | first part second part")


def test_configuration_and_storage(tmp_path: Path) -> None:
    source = """
    import json, os
    from kos.app import config
    def main():
        count = len(os.listdir("/data"))
        open(f"/data/{count}", "w").close()
        print("kept", count, config()["setting"], os.environ["MORE"], os.path.exists("/keys"))
        os._exit(1 if count < 2 else 0)
    """
    storing = app(
        source,
        resources=[{"type": "storage", "size": 1 << 20}],
        config={"setting": ["ü", 1]},
        environ={"MORE": "yes", "HOME": "/elsewhere"},
        restart={
            "policy": "on-failure",
            "backoff_initial": 0.01,
            "backoff_max": 0.01,
            "limit": 5,
            "window": 60.0,
        },
    )
    install(tmp_path, {"storing": storing})
    with RunningSystem(tmp_path) as system:
        system.wait_for("kept 2 ['ü', 1] yes False")
    with RunningSystem(tmp_path) as system:
        system.wait_for("kept 3 ['ü', 1] yes False")


def _set_environ(value: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        manifest = json.loads(path.read_text())
        manifest["apps"]["a"]["environ"] = {"X": value}
        path.write_text(json.dumps(manifest))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Path.unlink, "cannot read the manifest"),
        (lambda path: path.write_text("{"), "not JSON"),
        (lambda path: path.write_bytes(b" " * (9 << 20)), "bytes are too many"),
        # A zero byte would end an order to bubblewrap and begin another.
        (_set_environ("a\0--bind\0/\0/host"), "manifest.apps.a.environ.X: expected text that matches"),
    ],
)
def test_bad_manifests_are_refused(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    install(tmp_path, {"a": app("def main(): pass")})
    change(tmp_path / "manifest.json")
    done = subprocess.run(
        [sys.executable, "-m", "kos.device.supervisor", "--dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "control.sock").exists()


def test_missing_image_fails_the_app_only(tmp_path: Path) -> None:
    needs_bubblewrap()
    image = {"kind": "python", "sha256": "0" * 64, "size": 1, "entry": "x:main"}
    install(tmp_path, {"a": app(None, image=image), "b": app("def main(): print('here')")})
    with RunningSystem(tmp_path) as system:
        system.wait_for("a: could not be started: a: its image is not in the store")
        system.wait_for("| here")


def test_one_system_in_a_directory(tmp_path: Path) -> None:
    install(tmp_path, {"a": app(ALONE)})
    with RunningSystem(tmp_path) as system:
        system.wait_for("1 of 1 apps ready")
        with RunningSystem(tmp_path) as second:
            second.wait_for("a system is running there already")
            assert second.process.wait(DEADLINE) == 1
        assert system.status()["state"] == "running"
        system.stop()
    assert (tmp_path / "console.log").read_text().splitlines() == system.lines
    assert not list(CGROUPS.glob(f"**/kos-{second.process.pid}"))


def test_control_socket(tmp_path: Path) -> None:
    install(tmp_path, {"a": app(READY, access=access(p="server"))}, {"msg0": ["p"]})
    with RunningSystem(tmp_path) as system:
        system.wait_for("1 of 1 apps ready")
        assert (tmp_path / "control.sock").stat().st_mode & 0o777 == 0o600
        with system.client() as client:
            assert client.graph()["edges"] == [
                {"app": "a", "port": "p", "msg_server": "msg0", "role": "server"}
            ]
            with pytest.raises(KosError, match="there is no app 'x'"):
                client.restart("x")
            with pytest.raises(KosError, match="there is no operation 'dance'"):
                client.request("dance")
        with system.client() as client:
            lines = client.console(history=True)
            assert any("| started a" in line for line in lines)
            with system.client() as other:
                other.stop()
            assert list(lines)[-1].endswith("| stopped")
        assert system.process.wait(DEADLINE) == 0
        with pytest.raises(KosError, match="no system is running there"):
            ControlClient(tmp_path)


def test_control_socket_refuses_garbage(tmp_path: Path) -> None:
    import socket

    install(tmp_path, {"a": app(ALONE)})
    with RunningSystem(tmp_path) as system:
        system.wait_for("1 of 1 apps ready")
        for sent in (
            b"garbage\n",
            b'"text"\n',
            b"[" * 60000 + b"\n",
            b'{"op": 5}\n',
            b'{"op": "restart", "app": []}\n',
        ):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(tmp_path / "control.sock"))
                connection.sendall(sent)
                assert b'"ok": false' in connection.recv(65536)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / "control.sock"))
            connection.sendall(b"x" * 65536)
            connection.sendall(b"x")
            answer = connection.makefile("rb").read()
            assert b"a request of over 65536 bytes" in answer
        assert system.status()["state"] == "running"


def test_no_control_group_is_left(tmp_path: Path) -> None:
    install(tmp_path, {"a": app(ALONE)})
    with RunningSystem(tmp_path) as system:
        system.wait_for("1 of 1 apps ready")
        if "control groups" not in system.status()["limits"]:
            pytest.skip("not applicable: no control groups for this user")
        assert list(CGROUPS.glob(f"**/kos-{system.process.pid}/a"))
        system.stop()
    assert not list(CGROUPS.glob(f"**/kos-{system.process.pid}"))


def test_supervisor_resource_sees_and_restarts_but_does_not_stop(tmp_path: Path) -> None:
    source = """
    import json, os, socket
    def main():
        file = socket.socket(fileno=int(os.environ["KOS_SUPERVISOR"])).makefile("rw")
        for request in ({"op": "status"}, {"op": "stop"}, {"op": "restart", "app": "other"}):
            print(json.dumps(request), file=file, flush=True)
            answer = json.loads(file.readline())
            print(request["op"], answer["ok"], sorted(answer.get("apps", ())))
    """
    install(
        tmp_path,
        {
            "asking": app(source, resources=[{"type": "supervisor"}], access=access(p="server")),
            "other": app(ALONE),
        },
        {"msg0": ["p"]},
    )
    with RunningSystem(tmp_path) as system:
        system.wait_for("| status True ['asking', 'other']")
        system.wait_for("| stop False []")
        system.wait_for("| restart True []")
        system.wait_for("| started", times=2)


READY_AT_THE_SECOND_START = """
import os, time
from kos.app import ready
def main():
    again = os.path.exists("/data/began")
    open("/data/began", "w").close()
    if again:
        ready()
    time.sleep(1000)
"""


def test_app_that_is_not_ready_is_reported_and_not_waited_for(tmp_path: Path) -> None:
    storage = [{"type": "storage", "size": 1 << 20}]
    install(
        tmp_path,
        {
            "client": app(READY, access=access(p="client")),
            "mute": app(READY_AT_THE_SECOND_START, access=access(p="server"), resources=storage),
        },
        {"msg0": ["p"]},
    )
    with RunningSystem(tmp_path) as system:
        system.wait_for("mute: not ready after 10 s")
        system.wait_for("| started client")
        system.wait_for("1 of 2 apps ready")
        system.restart("mute")
        system.wait_for("2 of 2 apps ready")  # late, and told all the same
        for name in ("mute", "client"):  # once: what is started again later is no news
            system.restart(name)
        system.wait_for("| started client", times=2)
        assert system.stop() == 0
        assert sum("apps ready" in line for line in system.lines) == 2


def test_system_goes_on_when_nobody_reads_its_console(tmp_path: Path) -> None:
    needs_bubblewrap()
    install(tmp_path, {"a": app(ALONE)})
    command = [sys.executable, "-m", "kos.device.supervisor", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        assert "starts" in process.stdout.readline()
        process.stdout.close()
        with ControlClient(tmp_path) as client:
            lines = client.console(history=True)
            assert any("| started" in line for line in lines)
            with ControlClient(tmp_path) as other:
                other.restart("a")
            assert any("| started" in line for line in lines)
            with ControlClient(tmp_path) as other:
                other.stop()
        assert process.wait(DEADLINE) == 0
        assert process.stderr.read() == ""
