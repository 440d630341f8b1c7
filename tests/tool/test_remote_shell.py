"""`kos-tool toolbox.remote_shell` with a system that runs here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from kos.tool import runs
from tests.device.systems import RunningSystem, app, install

APP = """
import time
limit = 5
def main():
    print("runs")
    time.sleep(1000)
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        with runs.new("small") as directory:
            install(directory, {"pump": app(APP, debug=True)}, options={"remote_shell": True})
            with RunningSystem(directory) as running:
                running.wait_for("| runs")
                yield "small"


def shell(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kos.tool", "toolbox.remote_shell", *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=200, check=False)


def test_lines_are_run_and_what_they_print_is_printed(system: str) -> None:
    typed = "limit\nfor n in range(2):\n    print(n, limit)\n\nlimit += 1\n"
    done = shell("pump", "--system", system, typed=typed)
    assert (done.returncode, done.stdout) == (0, "5\n0 5\n1 5\n"), done.stderr
    done = shell("pump", "-c", "limit", "-c", "print('\\x1b[2J')", "--json")
    assert json.loads(done.stdout) == {"app": "pump", "output": "6\n\ufffd[2J\n", "ended": None}, done.stderr


def test_a_refusal_says_what_to_do(system: str) -> None:
    done = shell("nobody", "-c", "1")
    assert done.returncode == 1 and "there is no app 'nobody'" in done.stderr and "apps: pump" in done.stderr
    done = shell("pump", "--json")
    assert done.returncode != 0 and "--json needs --code" in done.stderr
