"""A running system from the command line: run, status, console, stop, watch, and what is left afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.tool.running import WAIT_SECONDS, completed, going_on, kos_tool

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap: apt-get install bubblewrap"),
]


@pytest.fixture
def runtime(tmp_path: Path) -> dict[str, str]:
    """A place of the test's own for run directories, and a fast example."""
    (tmp_path / "runtime").mkdir(mode=0o700)
    return {"XDG_RUNTIME_DIR": str(tmp_path / "runtime"), "KOS_CONFIG_HELLO__INTERVAL": "0.1"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    kos_tool("new.system", "small", cwd=tmp_path)
    return tmp_path / "small"


def left_behind(runtime: dict[str, str]) -> list[Path]:
    return list((Path(runtime["XDG_RUNTIME_DIR"]) / "kos").iterdir())


def gone(text: str) -> bool:
    """Whether nobody is left who has this in its command line; who was killed may take a moment to go."""
    deadline = time.monotonic() + WAIT_SECONDS
    while left := processes_of(text):
        if time.monotonic() > deadline:
            print("left:", left)
            return False
        time.sleep(0.02)
    return True


def processes_of(text: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in line:
                found.append(int(entry.name))
    return found


def test_run_status_console_and_stop(project, runtime, tmp_path):
    with going_on("run", project, output=tmp_path / "out", **runtime) as run:
        run.until_printed("apps ready after")
        status = json.loads(kos_tool("status", "--json", **runtime).stdout)
        assert status["name"] == "small" and status["state"] == "running"
        assert all(entry["state"] in ("running", "stopped") for entry in status["apps"].values())
        assert completed("stop ", **runtime) == completed("trace sm", **runtime) == ["small"]
        assert completed("toolbox.remote_shell ", **runtime) == sorted(status["apps"])
        assert completed("console --app he", **runtime) == ["hello"]
        table = kos_tool("status", "small", **runtime).stdout
        assert table.startswith("small 0.1.0: running")
        assert all(name in table for name in ["msg0", *status["apps"]])
        assert re.search(r"^hello .* log_server$", table, re.MULTILINE)

        again = kos_tool("run", project, **runtime)
        assert again.returncode == 1 and "runs already" in again.stderr and "--name" in again.stderr

        with going_on("console", "--app", "self_test", output=tmp_path / "console", **runtime) as console:
            console.until_printed("self_test")
            assert console.interrupt() == 130
        lines = [line for line in console.text().splitlines() if line.startswith("|")]
        assert lines and all("self_test" in line for line in lines)

        stopped = kos_tool("stop", **runtime)
        assert stopped.returncode == 0
        assert run.process.wait(90) == 0
    assert left_behind(runtime) == []
    assert gone(str(tmp_path))


def test_a_saved_console_is_filtered(project, runtime, tmp_path):
    with going_on("run", project, output=tmp_path / "out", **runtime) as run:
        run.until_printed("hello 2 from small")
        run.interrupt()
    whole = kos_tool("console", "--file", tmp_path / "out").stdout
    only = kos_tool("console", "--file", tmp_path / "out", "--app", "log_server").stdout
    assert 0 < len(only.splitlines()) < len(whole.splitlines())
    assert "hello 2 from small" in only and "self_test          |" not in only


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing(project, runtime, tmp_path, number):
    with going_on("run", project, output=tmp_path / "out", **runtime) as run:
        run.until_printed("hello 1 from small")
        run.process.send_signal(number)
        assert run.process.wait(90) == 130
        assert "stopped" in run.text()
    assert left_behind(runtime) == []
    assert gone(str(tmp_path))


def test_a_killed_kos_tool_takes_the_system_with_it(project, runtime, tmp_path):
    with going_on("run", project, output=tmp_path / "out", **runtime) as run:
        run.until_printed("hello 1 from small")
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
    with going_on("run", project, output=tmp_path / "again", **runtime) as run:
        run.until_printed("hello 1 from small")
        assert run.interrupt() == 130
    assert left_behind(runtime) == []


def test_an_archive_runs_as_its_project_does(project, runtime, tmp_path):
    assert kos_tool("manifest", project, "-o", tmp_path / "m.zip").returncode == 0
    keys = tmp_path / "keys"
    assert kos_tool("keys.generate", keys).returncode == 0
    with going_on(
        "run", tmp_path / "m.zip", "--keys", keys, "--name", "other", output=tmp_path / "out", **runtime
    ) as run:
        run.until_printed("apps ready after")
        assert "other" in kos_tool("status", "wrong", **runtime).stderr
        assert run.interrupt() == 130


def apps(runtime: dict[str, str]) -> dict[str, dict]:
    return json.loads(kos_tool("status", "--json", **runtime).stdout)["apps"]


def test_watch_rebuilds_only_what_changed(project, runtime, tmp_path):
    source = project / "apps/hello/hello/__init__.py"
    with going_on("watch", project, output=project / "console", **runtime) as watch:
        watch.until_printed("hello 1 from small")
        good = source.read_text()
        before = apps(runtime)
        source.write_text(good.replace("hello {count}", "bonjour {count}"))
        watch.until_printed("relaunched: hello")
        watch.until_printed("bonjour 1 from small")
        after = apps(runtime)
        assert after.pop("hello")["pid"] != before.pop("hello")["pid"]
        assert {name: app["pid"] for name, app in after.items()} == {
            n: app["pid"] for n, app in before.items()
        }

        source.write_text("def main(:\n")
        watch.until_printed("still running as it was")
        assert "invalid syntax" in watch.text()
        count = watch.text().count("bonjour")
        watch.until("the system to go on", lambda: watch.text().count("bonjour") > count)

        (project / "README.md").write_text("no source of any app")
        source.write_text(good.replace("hello {count}", "bonjour {count}"))
        watch.until_printed("nothing that runs has changed")
        assert watch.interrupt() == 130
    assert left_behind(runtime) == []
