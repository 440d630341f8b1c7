"""gdb on a running C app: attach, break, look, go on, leave; and what it cannot do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.device.systems import RunningSystem, c_app, install
from tests.device.test_supervisor import USERS

COUNTS = """
#include <stdio.h>
#include <unistd.h>
static int counter;
__attribute__((noinline)) static void tick(int by) { counter += by; }
int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int n = 0;; n++) {
        tick(2);
        if (n % 10 == 0) printf("counted %d\\n", counter);
        usleep(20000);
    }
}
"""
CLOSED = "counts: a debugger of a test was closed"
CARRY = """
import sys
from pathlib import Path
from kos.device.control import ControlClient
from kos.tool.debugger import carry
carry(ControlClient(Path(sys.argv[1])).stream("gdb", "counts", "a test"))
"""


@pytest.fixture(params=USERS, scope="module")
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningSystem]:
    if shutil.which("gdbserver") is None or shutil.which("gdb") is None:
        pytest.skip("needs gdb and gdbserver: apt-get install gdb gdbserver")
    folder = tmp_path_factory.mktemp("system")
    install(folder, {"counts": c_app(COUNTS, debug=True)}, options={"debugger": True})
    with RunningSystem(folder, ordinary_user=request.param) as running:
        running.wait_for("| counted", times=2)
        yield running


def gdb(system: RunningSystem, *commands: str) -> str:
    """What gdb says, with the app's own program as symbols."""
    program = next((system.directory / "store" / "images").glob("*/bin/program"))
    script = system.directory / "carry.py"
    script.write_text(CARRY)
    command = ["gdb", "-q", "-nx", "-batch", str(program)]
    # gdb waits two seconds by itself, which are little for a Python that starts on a busy machine.
    remote = f"target remote | {sys.executable} {script} {system.directory}"
    for each in ("set remotetimeout 120", remote, *commands):
        command += ["-ex", each]
    environment = os.environ | {"DEBUGINFOD_URLS": ""}
    earlier = sum(CLOSED in line for line in system.lines)
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        stdin=subprocess.DEVNULL,
        env=environment,
        check=False,
    )
    system.wait_for(CLOSED, times=earlier + 1)
    return done.stdout + done.stderr


def goes_on(system: RunningSystem) -> None:
    """The app counts on after the debugger, left out no call, and is the same process as before."""
    last = system.wait_for("| counted", times=sum("| counted" in line for line in system.lines) + 3)
    assert int(last.split()[-1]) % 20 == 2, last
    assert system.status()["apps"]["counts"]["restarts"] == 0


def test_break_look_and_leave(system: RunningSystem) -> None:
    said = gdb(system, "break tick", "continue", "backtrace", "print counter", "print by", "delete", "detach")
    assert re.search(r"Breakpoint 1, tick \(by=(by@entry=)?2\)", said), said
    assert re.search(r"#0  tick \(by=.*\n#1 .* in main \(\)", said), said
    assert "$2 = 2" in said
    goes_on(system)


def test_leaving_with_a_breakpoint_in_place_leaves_the_app_running(system: RunningSystem) -> None:
    gdb(system, "break tick", "continue", "python import os; os.kill(os.getpid(), 9)")
    goes_on(system)


def test_it_sees_the_app_and_nothing_beside_it(system: RunningSystem) -> None:
    """gdb's protocol reaches files, processes and programs: those of the sandbox, and no program at all."""
    secret = system.directory / "secret"
    secret.write_text("of the machine")
    copy = system.directory / "copy"
    said = gdb(
        system,
        f"remote get {secret} {copy}",
        "remote get /proc/1/environ /dev/null",
        "remote put /proc/self/exe /app/bin/program",
        "detach",
    )
    assert not copy.exists() and "No such file or directory" in said, said
    assert "Permission denied" in said and "Read-only file system" in said
    assert "kos.device.supervisor" not in said and "pytest" not in said
    goes_on(system)


def test_a_variable_is_changed(system: RunningSystem) -> None:
    gdb(system, "set var counter = 1000000", "detach")
    system.wait_for(lambda line: "| counted 1000" in line)
