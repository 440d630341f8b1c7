"""What is kept of apps that ended badly, and what is not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kos.device.control import ControlClient
from kos.device.debug.postmortem import LINE_MAX, LINES_KEPT, RECORDS_MAX, PostMortems, record_of
from kos.device.process import End
from tests.device.systems import RunningSystem, app, c_app, install
from tests.device.test_supervisor import USERS

RAISES = """
def deeper(values):
    return values["missing"]
def main():
    for n in range(100):
        print("line", n)
    deeper({})
"""
ABORTS = "import os\ndef main():\n    os.abort()"
FORBIDDEN = "import os\ndef main():\n    print('asks')\n    os.mkfifo('/tmp/x')"
STATUS = "def main():\n    raise SystemExit(3)"
WELL = "def main():\n    print('done')"
NULL = "int main(void) { volatile int *p = 0; return *p; }"


@pytest.mark.parametrize("ordinary_user", USERS)
def test_each_kind_of_bad_end(tmp_path: Path, ordinary_user: bool) -> None:
    apps = {
        "raises": app(RAISES),
        "aborts": app(ABORTS),
        "forbidden": app(FORBIDDEN),
        "status": app(STATUS),
        "well": app(WELL),
        "null": c_app(NULL),
    }
    install(tmp_path, apps)
    with RunningSystem(tmp_path, ordinary_user=ordinary_user) as system:
        system.wait_for("apps ready")
        for name in apps:
            if name != "well":
                system.wait_for(f"{name}: ")
        with ControlClient(system.directory) as client:
            records = {one["app"]: one for one in client.request("post_mortem")["records"]}
            assert client.status()["post_mortems"] == 5
            only = client.request("post_mortem", app="status")["records"]
    assert sorted(records) == ["aborts", "forbidden", "null", "raises", "status"]
    assert [one["app"] for one in only] == ["status"]
    raised = records["raises"]
    assert raised["reason"] == "exited with status 1" and raised["status"] == 1
    assert raised["traceback"][0] == "Traceback (most recent call last):"
    assert raised["traceback"][-1] == "KeyError: 'missing'" and any(
        "deeper" in x for x in raised["traceback"]
    )
    assert raised["lines"][-1] == "line 99" and 20 < len(raised["lines"]) < LINES_KEPT
    assert records["aborts"]["signal"] == "SIGABRT"
    assert records["aborts"]["traceback"][0].startswith("Fatal Python error: Aborted")
    forbidden = records["forbidden"]
    assert forbidden["call"].startswith("mknod") and forbidden["lines"] == ["asks"]
    assert int(forbidden["where"]["pc"], 16) > 0 and "libc" in forbidden["where"]["in"]
    assert records["null"]["signal"] == "SIGSEGV"
    assert records["status"]["status"] == 3 and records["status"]["memory"] > 0


def test_they_outlive_the_supervisor(tmp_path: Path) -> None:
    install(tmp_path, {"status": app(STATUS)})
    for number in (1, 2):
        with RunningSystem(tmp_path) as system:
            system.wait_for("status: exited with status 3")
            with ControlClient(tmp_path) as client:
                assert client.status()["post_mortems"] == number
            system.stop()
        (tmp_path / "control.sock").unlink(missing_ok=True)


def record(text: str = "x") -> dict[str, Any]:
    return record_of("app", End(text, True), [])


def test_the_ring_keeps_the_newest(tmp_path: Path) -> None:
    kept = PostMortems(tmp_path / "ring")
    for number in range(1, RECORDS_MAX + 11):
        assert kept.add(record(str(number)))["number"] == number
    found = kept.read()
    assert [one["number"] for one in found] == list(range(11, RECORDS_MAX + 11))
    assert PostMortems(tmp_path / "ring").add(record())["number"] == RECORDS_MAX + 11


def test_broken_files_and_full_disks_cost_records_only(tmp_path: Path) -> None:
    kept = PostMortems(tmp_path / "ring")
    kept.add(record("good"))
    (tmp_path / "ring" / "000002.json").write_text('{"app": ')
    (tmp_path / "ring" / "000003.json").write_text("[]")
    (tmp_path / "ring" / "other.txt").write_text("x")
    assert [one["reason"] for one in kept.read()] == ["good"]
    assert PostMortems(tmp_path / "ring" / "other.txt" / "below").add(record())["number"] == 1


def test_a_record_is_bounded() -> None:
    lines = ["y" * 5000] * 500
    made = record_of("app", End("z", True), lines)
    assert len(made["lines"]) == LINES_KEPT and max(map(len, made["lines"])) == LINE_MAX
    assert len(json.dumps(made)) < 64 * 1024


def test_what_libkos_says_of_a_crash_is_set_apart() -> None:
    made = record_of("app", End("z", True), ["hello", "kos: crash: SIGSEGV pc=0x1", "bye"])
    assert made["crash"] == ["SIGSEGV pc=0x1"] and made["lines"] == ["hello", "bye"]
