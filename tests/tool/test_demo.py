"""The demo ends by itself and has shown what it promises."""

from __future__ import annotations

import shutil

import pytest

from tests.tool.running import going_on, kos_tool

pytestmark = [
    pytest.mark.group("examples"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap: apt-get install bubblewrap"),
]


def test_once(tmp_path):
    (tmp_path / "runtime").mkdir(mode=0o700)
    done = kos_tool("demo", "--once", XDG_RUNTIME_DIR=str(tmp_path / "runtime"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "station: reading 1" in done.stdout
    assert "wx_sensor: killed by SIGSEGV" in done.stdout
    assert "restarted alone" in done.stderr
    assert "refused: the manifest does not grant it" in done.stderr
    assert "weather_protocol" in done.stdout and "← wx_sensor" in done.stdout
    assert list((tmp_path / "runtime/kos").iterdir()) == []


def test_until_ctrl_c(tmp_path):
    (tmp_path / "runtime").mkdir(mode=0o700)
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    with going_on("demo", output=tmp_path / "out", **runtime) as demo:
        demo.until_printed("it goes on; Ctrl-C stops everything")
        assert "weather_station 0.1.0: running" in kos_tool("status", "demo", **runtime).stdout
        assert demo.interrupt() == 130
        assert "nothing is left behind" in demo.text()
    assert list((tmp_path / "runtime/kos").iterdir()) == []
