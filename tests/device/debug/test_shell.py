"""A shell in a running app: the real supervisor, the real sandbox, an app that is blocked in `serve`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kos.abi.debug import SHELL_OUTPUT_MAX
from kos.abi.errors import KosError
from kos.abi.stream import WINDOW
from kos.device.control import ControlClient
from tests.device.debug.reading import ShellReader
from tests.device.systems import RunningSystem, app, c_app, install
from tests.device.test_supervisor import USERS, access

SERVES = """
from kos import app
threshold = 30
def answer(request):
    print("threshold is", threshold)
def main():
    server = app.Server()
    server.bind("readings", answer)
    app.ready()
    server.serve()
"""
ASKS = """
import time
from kos import app
def main():
    token = app.connect("readings")
    app.ready()
    while True:
        token.call(1)
        time.sleep(0.05)
"""
CLOSED = """
import os, time
def main():
    print(sorted(os.environ), len(os.listdir("/proc/self/task")))
    time.sleep(1000)
"""
SPINS = 'int main(void) { for (;;) __asm__ volatile("" ::: "memory"); }'


@pytest.fixture(params=USERS, scope="module")
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningSystem]:
    folder = tmp_path_factory.mktemp("system")
    apps = {
        "mortal": app(CLOSED, debug=True),
        "station": app(SERVES, access=access(readings="server"), debug=True, processes=1),
        "sensor": app(ASKS, access=access(readings="client")),
        "closed": app(CLOSED),
        "spins": c_app(SPINS, debug=True),
    }
    install(folder, apps, {"msg0": ["readings"]}, {"remote_shell": True})
    with RunningSystem(folder, ordinary_user=request.param) as running:
        running.wait_for("apps ready")
        yield running


def later(system: RunningSystem) -> None:
    """Some more answers of the app to its client."""
    system.wait_for("threshold is", times=sum("threshold is" in line for line in system.lines) + 10)


def test_a_variable_of_a_running_app_is_seen_and_changed(system: RunningSystem) -> None:
    system.wait_for("| station            | threshold is 30")
    with ShellReader(system, "station") as shell:
        assert shell.until_prompt() == ""
        assert shell.run("threshold") == "30\n"
        assert shell.run("threshold = 77") == ""
        system.wait_for("| station            | threshold is 77")
        assert shell.run("threshold = 30") == ""
        system.wait_for("station: a shell was opened by a test")
        system.wait_for("station: shell: threshold = 77")
    system.wait_for("station: a shell of a test was closed: the reader left")


def test_it_is_an_interpreter(system: RunningSystem) -> None:
    with ShellReader(system, "station") as shell:
        shell.until_prompt()
        assert shell.run("def twice(x):") == "" and shell.prompt == "... "
        assert shell.run("    return 2 * x", "", "print('it is', twice(21))") == "it is 42\n"
        raised = shell.run("{}['missing']")
        assert "Traceback (most recent call last)" in raised and "KeyError: 'missing'" in raised
        assert "SyntaxError" in shell.run("1 +")
        shell.tell(complete="thresh")
        assert shell.next() == {"completions": ["threshold"], "of": "thresh"}
        # It is the app, in its sandbox, and nobody more.
        assert shell.run("import os; os.listdir('/')").count("home") == 0
        assert "/tmp" in shell.run("os.environ['HOME']")


def test_an_endless_loop_is_interrupted(system: RunningSystem) -> None:
    with ShellReader(system, "station") as shell:
        shell.until_prompt()
        shell.tell(run="while True: 'endless'")
        shell.tell(run="")
        system.wait_for("station: shell: while True: 'endless'")
        shell.until_prompt()
        shell.tell(interrupt=True)
        assert "KeyboardInterrupt" in shell.until_prompt()
        assert shell.run("threshold") == "30\n"
        # A call that waits in the kernel cannot be ended, but left behind.
        shell.tell(run="import time; print('asleep') or time.sleep(1000)")
        assert shell.next() == {"out": "asleep"}
        later(system)  # by now it sleeps
        shell.tell(interrupt=True)
        shell.tell(interrupt=True)
        assert "left behind" in shell.until_prompt()
        assert shell.run("threshold") == "30\n"


def test_a_flood_is_bounded_and_can_be_interrupted(system: RunningSystem) -> None:
    with ShellReader(system, "station") as shell:
        shell.until_prompt()
        flood = shell.run("print('x' * 10_000_000)")
        assert flood.count("x") < SHELL_OUTPUT_MAX + 100 and "the rest is not shown" in flood
        # Nobody reads: the statement waits, the app goes on.
        shell.tell(run="for n in range(10**9): print(n)")
        shell.tell(run="")
        later(system)
        shell.tell(interrupt=True)
        while "KeyboardInterrupt" not in shell.until_prompt():
            pass
        assert shell.run("threshold") == "30\n"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("sensor", "shell", "does not open sensor to a shell"),
        ("closed", "shell", "does not open closed to a shell"),
        ("spins", "shell", "spins cannot have a shell"),
        ("spins", "gdb", "does not open spins to a debugger"),
        ("station", "gdb", "station cannot have a debugger"),
        ("nobody", "shell", "there is no app 'nobody'"),
        ("station", "root", "there is no stream 'root'"),
    ],
)
def test_what_the_manifest_does_not_say_is_refused(
    system: RunningSystem, name: str, kind: str, message: str
) -> None:
    with ControlClient(system.directory) as client, pytest.raises(KosError, match=message) as refusal:
        client.stream(kind, name, "a test")
    assert refusal.value.hint


def test_an_app_without_the_grant_has_no_descriptor_and_no_thread(system: RunningSystem) -> None:
    line = system.wait_for("| closed ")
    assert "KOS_SHELL" not in line and line.endswith("] 1")


def test_one_reader_at_a_time(system: RunningSystem) -> None:
    with ShellReader(system, "station", who="ann"):
        with ControlClient(system.directory) as client, pytest.raises(KosError, match="already, by ann"):
            client.stream("shell", "station", "ben")
    system.wait_for("a shell of ann was closed: the reader left")
    with ShellReader(system, "station", who="ben") as shell:
        shell.until_prompt()
        assert shell.run("threshold") == "30\n"


def test_the_app_dies_during_the_session(system: RunningSystem) -> None:
    with ShellReader(system, "mortal") as shell:
        shell.until_prompt()
        shell.tell(run="import os; os._exit(3)")
        assert shell.next() == {}
        assert shell.stream.reason == "the app ended: exited with status 3"
    with ControlClient(system.directory) as client, pytest.raises(KosError, match="mortal is not running"):
        client.stream("shell", "mortal", "a test")


def test_leaving_the_shell_does_not_end_the_app(system: RunningSystem) -> None:
    for _ in range(3):
        with ShellReader(system, "station") as shell:
            shell.until_prompt()
            shell.tell(run="raise SystemExit")
            assert shell.next() == {}
            assert shell.stream.reason == "the other side ended it"
    assert system.status()["apps"]["station"]["restarts"] == 0


def test_a_reader_that_sends_more_than_it_may_is_closed(system: RunningSystem) -> None:
    with ShellReader(system, "station") as shell:
        shell.until_prompt()
        shell.tell(run="while True: pass")
        shell.tell(run="")
        for _ in range(40):
            shell.client.tell("stream.data", id=shell.stream._carrier._identity, data="eHh4" * 8000)
        while shell.next():
            pass
        assert f"more than the {WINDOW} bytes" in (shell.stream.reason or "")


STARTED = "| pump               | ['HOME'"  # what the app prints


def test_a_new_manifest_opens_and_closes_an_app(tmp_path: Path) -> None:
    install(tmp_path, {"pump": app(CLOSED, debug=True), "other": app(CLOSED)}, options={"remote_shell": True})
    opened = json.loads((tmp_path / "manifest.json").read_text())
    with RunningSystem(tmp_path) as system:
        system.wait_for(STARTED)
        other = system.status()["apps"]["other"]["pid"]
        with ShellReader(system, "pump") as shell, ControlClient(tmp_path) as client:
            shell.until_prompt()
            (tmp_path / "manifest.next.json").write_text(json.dumps(opened | {"options": {}}))
            client.request("apply")
            assert shell.next() == {} and "the app ended" in (shell.stream.reason or "")
            with pytest.raises(KosError, match="does not open pump"):
                client.stream("shell", "pump", "a test")
        system.wait_for(STARTED, times=2)
        with ControlClient(tmp_path) as client:
            (tmp_path / "manifest.next.json").write_text(json.dumps(opened))
            client.request("apply")
        system.wait_for(STARTED, times=3)
        with ShellReader(system, "pump") as shell:
            shell.until_prompt()
            assert shell.run("1 + 1") == "2\n"
        assert system.status()["apps"]["other"]["pid"] == other, "what is not open is left alone"
