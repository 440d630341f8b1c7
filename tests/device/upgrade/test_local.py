"""A live upgrade on this machine, over the protocol: real supervisor, real sandboxes, and a bad release taken
back.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from kos.abi.errors import KosError
from kos.build import tree
from kos.device.control.client import ControlClient
from kos.device.upgrade.client import push
from kos.device.upgrade.local import connect
from kos.manifest import App, BuiltPythonImage, Context, Restart, codec
from kos.tool import runs
from kos.tool.commands import device__status
from tests.device.systems import DEADLINE

STEADY = """
import time
from kos import app

def main():
    app.ready()
    print("{0}", flush=True)
    time.sleep(3600)
"""
CRASHING = "from kos import app\ndef main():\n    app.ready()\n    raise SystemExit('broken')\n"


def image(folder: Path, text: str) -> tuple[str, Path]:
    """An image of one module `main`, packed; its SHA-256 and file."""
    (folder / "tree/site").mkdir(parents=True)
    (folder / "tree/site/main.py").write_text(dedent(text))
    blob = folder / "blob"
    with blob.open("wb") as file:
        tree.pack(folder / "tree", file)
    return hashlib.sha256(blob.read_bytes()).hexdigest(), blob


def system(release: str, images: dict[str, tuple[str, Path]]) -> bytes:
    """A manifest of apps with these images."""
    ctx = Context("small", release=release).put_msg_server("msg0").put_port("p", "msg0")
    ctx = ctx.set_kos_options(persistent_boot=True, disable_signing=True)
    for name, (sha256, blob) in images.items():
        built = BuiltPythonImage(sha256, blob.stat().st_size, "main:main")
        ctx = ctx.put_app(App(name, built, restart=Restart(backoff_initial=0.05, backoff_max=0.1)))
        ctx = ctx.connect_protocol(name, "p", "msg0")
    return codec.dump(ctx.manifest())


@pytest.fixture
def run(tmp_path):
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap: apt-get install bubblewrap")
    images = {name: image(tmp_path / name, STEADY.format(f"{name} one")) for name in ("alpha", "beta")}
    directory = tmp_path / "run"
    for sha256, blob in images.values():
        (directory / "store/blobs/sha256").mkdir(parents=True, exist_ok=True)
        shutil.copy(blob, directory / "store/blobs/sha256" / sha256)
        place = directory / "store/images" / sha256
        place.mkdir(parents=True)
        tree.unpack(blob, place)
    (directory / "manifest.json").write_bytes(system("1.0.0", images))
    command = [sys.executable, "-m", "kos.device.supervisor", "--dir", str(directory), "--quiet"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield directory, images
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE)


def ready(directory: Path) -> dict:
    """The status once every app is ready."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            with ControlClient(directory) as client:
                status = client.status()
            if all(app["ready"] for app in status["apps"].values()):
                return status
        except KosError:
            assert time.monotonic() < deadline
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_only_the_changed_app_is_replaced_and_a_broken_one_comes_back(run, tmp_path):
    directory, images = run
    before = ready(directory)["apps"]["alpha"]["pid"]
    newer = images | {"beta": image(tmp_path / "two", STEADY.format("beta two"))}
    broken = images | {"beta": image(tmp_path / "three", CRASHING)}
    blobs = {sha256: blob for sha256, blob in [newer["beta"], broken["beta"]]}
    events: list[dict] = []
    with connect(directory) as client:
        sent = push(client, system("1.1.0", newer), {}, blobs.__getitem__, events.append)
        assert [event["event"] for event in events] == ["installed", "applied", "healthy"]
        assert (sent.blobs, events[1]["stopped"], events[1]["started"]) == (1, ["beta"], ["beta"])
        assert ready(directory)["apps"]["alpha"]["pid"] == before

        events.clear()
        push(client, system("1.2.0", broken), {}, blobs.__getitem__, events.append)
        assert [event["event"] for event in events][-1] == "reverted"
        facts = client.hello()
        assert facts["release"] == "1.1.0"
        assert re.search("beta", facts["generations"][2]["reason"])
        assert ready(directory)["apps"]["alpha"]["pid"] == before
        with pytest.raises(KosError, match="older"):
            client.offer(system("1.0.5", newer), {})
        removed = client.collect()
        assert not [name for name in removed if newer["beta"][0] in name]


def test_device_status_shows_what_ran_and_why_it_failed(run, tmp_path, monkeypatch):
    directory, images = run
    ready(directory)
    broken = images | {"beta": image(tmp_path / "two", CRASHING)}
    with connect(directory) as client:
        push(client, system("1.1.0", broken), {}, lambda _: broken["beta"][1], lambda _: None)
    # The command finds a run by its name.
    monkeypatch.setattr(runs, "find", lambda name: directory)
    shown = CliRunner().invoke(device__status.command, ["small"])
    assert "small 1.0.0 on host: generation 1, good" in shown.output
    assert re.search(r"2 +1\.1\.0 +failed +beta", shown.output)
    described = json.loads(CliRunner().invoke(device__status.command, ["small", "--json"]).output)
    assert [one["state"] for one in described["generations"]] == ["good", "failed"]
