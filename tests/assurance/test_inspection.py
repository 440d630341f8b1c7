"""A real system on this machine is clean at the third depth, and each tampering with it is found."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kos.assurance import Report, check
from kos.assurance.registry import rule_by_id
from kos.assurance.rule import Depth
from kos.assurance.running import parse_status
from kos.device.launcher import cache_folder, host_launcher
from kos.device.seccomp.compiler import COMPILER_VERSION
from kos.device.seccomp.policy import policy_for
from kos.device.staging import host_runtime
from kos.manifest import Context, Manifest, codec
from kos.tool.inspection import inspect
from tests.device.systems import RunningSystem, app, install, lend_launcher, needs_bubblewrap

SOURCE = """
import time
from kos.app import ready
def main():
    ready()
    while True:
        time.sleep(60)
"""


def system(directory: Path) -> Path:
    """A system with one Python app, with the blob of its image as a build leaves it."""
    install(directory, {"idle": app(SOURCE, access={"msg0": {"a": {"role": "server"}}})}, {"msg0": ["a"]})
    manifest = json.loads((directory / "manifest.json").read_text())
    image = manifest["apps"]["idle"]["image"]
    unpacked = directory / "store" / "images" / image["sha256"]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(unpacked, arcname=".")
    image |= {"sha256": hashlib.sha256(out.getvalue()).hexdigest(), "size": len(out.getvalue())}
    unpacked.rename(unpacked.parent / image["sha256"])
    blobs = directory / "store" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / image["sha256"]).write_bytes(out.getvalue())
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def manifest_of(running: RunningSystem) -> Manifest:
    return codec.load((running.directory / "manifest.json").read_bytes())


def document(running: RunningSystem) -> dict:
    return json.loads(json.dumps(inspect(manifest_of(running), running.status(), running.directory)))


def judge(running: RunningSystem) -> Report:
    return check(manifest_of(running), running=parse_status(document(running)))


def found(report: Report) -> dict[str, str]:
    """Rule → message of what was found at the third depth."""
    return {f.rule.id: f.message for f in report.findings if f.rule.depth is Depth.RUNNING}


@pytest.fixture(params=["root", "ordinary user"])
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningSystem]:
    ordinary_user = request.param == "ordinary user"
    if not ordinary_user and os.geteuid() != 0:
        pytest.skip("not applicable: the tests do not run as root")
    with RunningSystem(system(tmp_path), ordinary_user=ordinary_user) as made:
        made.wait_for("1 of 1 apps ready")
        yield made


def test_a_system_as_it_was_built_is_clean(running: RunningSystem):
    report = judge(running)
    assert found(report) == {}
    assert "msg0" in document(running)["msg_servers"]
    assert rule_by_id("no-filter") in report.rules


def test_a_changed_file_is_found(running: RunningSystem):
    (file,) = (running.directory / "store" / "images").rglob("idle_app.py")
    file.chmod(0o644)
    file.write_text(SOURCE + "# a line more\n")
    assert found(judge(running)) == {"changed-file": "idle runs /app/site/idle_app.py, which was changed"}


def test_a_file_more_is_found(running: RunningSystem):
    (file,) = (running.directory / "store" / "images").rglob("idle_app.py")
    file.parent.chmod(0o755)
    (file.parent / "sitecustomize.py").write_text("")
    message = "idle runs /app/site/sitecustomize.py, which is not in its image"
    assert found(judge(running)) == {"changed-file": message}


@pytest.mark.skipif(os.geteuid() != 0, reason="not applicable: only root may read a filter")
def test_a_relaxed_filter_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The supervisor takes compiled filters from its cache: somebody puts one there that allows everything.
    lend_launcher(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    policy = policy_for("python")
    key = hashlib.sha256(repr((COMPILER_VERSION, platform.machine(), policy)).encode()).hexdigest()
    filters = host_runtime(cache_folder(), host_launcher(cache_folder())).packages / "filters"
    filters.mkdir(exist_ok=True)
    allow_all = (0x06).to_bytes(2, sys.byteorder) + b"\0\0" + (0x7FFF0000).to_bytes(4, sys.byteorder)
    (filters / f"{key}.bpf").write_bytes(allow_all)
    with RunningSystem(system(tmp_path / "system")) as running:
        running.wait_for("1 of 1 apps ready")
        assert found(judge(running)) == {"no-filter": "idle runs under another filter than was built for it"}


# What somebody who changed the runtime would do: pass a file of the host, and a connection, on to each app.
TAMPERED = """
import socket, tempfile
from kos.device import units
original = units.AppUnit._connections
def more(self):
    ours, theirs = socket.socketpair()
    self.kept = ours
    secret = tempfile.TemporaryFile()
    return [*original(self), theirs, secret]
units.AppUnit._connections = more
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="not applicable: root sees what an app holds of the host")
def test_an_extra_descriptor_of_a_running_app_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "changed").mkdir()
    (tmp_path / "changed" / "sitecustomize.py").write_text(TAMPERED)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'changed'}{os.pathsep if before else ''}{before}")
    with RunningSystem(system(tmp_path / "system")) as running:
        running.wait_for("1 of 1 apps ready")
        report = judge(running)
        messages = [f.message for f in report.findings if f.rule.id == "extra-descriptor"]
        assert messages[0] == "idle holds descriptor 4, passed socket"
        assert re.fullmatch(r"idle holds descriptor 5, host:.*", messages[1])
        assert set(found(report)) == {"extra-descriptor"}


def test_an_extra_descriptor_is_found(tmp_path: Path):
    needs_bubblewrap()
    secret = tmp_path / "secret"
    secret.write_text("")
    ours, theirs = socket.socketpair()
    command = "import sys; print('here', flush=True); sys.stdin.read()"
    sandbox = ["bwrap", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc"]
    with ours, theirs, secret.open() as file:
        process = subprocess.Popen(
            [*sandbox, sys.executable, "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[file.fileno(), theirs.fileno()],
        )
        with process:
            assert process.stdout and process.stdout.readline() == b"here\n"
            entry = {"state": "running", "pid": process.pid}
            manifest = Context("empty").manifest()
            seen = inspect(manifest, {"apps": {"stranger": entry}}, tmp_path)
            report = check(manifest, running=parse_status(seen))
            messages = [f.message for f in report.findings if f.rule.id == "extra-descriptor"]
            assert any(message.endswith(f"host:{secret}") for message in messages)
            assert any(message.endswith("passed socket") for message in messages)
            assert "unknown-process" in found(report)
            assert process.stdin
            process.stdin.close()
