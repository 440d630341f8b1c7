"""A real device of the tests: a small system, built, run by the supervisor, managed by its admin agent."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kos.abi import nkey
from kos.build.system import Builder
from kos.keys import pairs
from kos.manifest.load import load_project
from kos.tool.request import install_built
from tests.device.systems import RunningSystem

SYSTEM = """
from kos.manifest import App, Context, PythonImage, System
from kos.systems import Poukai


class Pump(System):
    base = Poukai(self_test=False)
    release = "{release}"

    def setup(self, ctx: Context) -> Context:
        ctx = ctx.set_kos_options(disable_signing=True, remote_shell=True)
        ctx = ctx.put_app(App("steady", PythonImage("steady")))
        ctx = ctx.put_app(App("pump", PythonImage("pump"), debug=True))
        return ctx.connect_protocol("steady", Poukai.log).connect_protocol("pump", Poukai.log)
"""
STEADY = """
import time
from kos import app

def main():
    app.ready()
    while True:
        time.sleep(60)
"""
GOOD = """
import time
from kos import app

speed = 12

def main():
    app.ready()
    print("pump {release} turns", flush=True)
    while True:
        time.sleep(60)
"""
RATED = """
import os
import time
from kos import app

def main():
    app.ready()
    print("pump turns at", os.environ.get("RATE", "no rate"), "{release}", flush=True)
    while True:
        time.sleep(60)
"""
BAD = """
def main():
    raise SystemExit("the pump is stuck")
"""


# Servers are shared by tests: no device of one may be taken for another's, not even after it left.
NUMBERS = itertools.count(1)


class RealDevice(RunningSystem):
    """A system that is managed, with what its server calls it."""

    def __init__(self, directory: Path, public_key: bytes) -> None:
        self.id, self.name = nkey.device_id(public_key), f"pump {next(NUMBERS)}"
        self.path = f"/api/v1/devices/{self.id}"
        super().__init__(directory)


def project(folder: Path, release: str, pump: str = GOOD) -> Path:
    """A system project with two apps, one of which differs by release."""
    for name, text in (("steady", STEADY), ("pump", pump.replace("{release}", release))):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.py").write_text(text)
        (folder / name / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1"\n')
    (folder / "system.py").write_text(SYSTEM.replace("{release}", release))
    return folder


def build(folder: Path, release: str, pump: str = GOOD) -> Builder:
    return builder(project(folder / f"project-{release}", release, pump))


def builder(folder: Path) -> Builder:
    return Builder(load_project(folder), "host", may_lock=False, say=lambda _text: None)


def archive(folder: Path, release: str, pump: str = GOOD) -> Path:
    """That system as a manifest.zip."""
    path = folder / f"pump-{release}.zip"
    build(folder, release, pump).build().write(path)
    return path


@contextlib.contextmanager
def device(
    folder: Path,
    bus_port: int,
    release: str = "1.0",
    pump: str = GOOD,
    *,
    builder: Builder | None = None,
    keys: Path | None = None,
) -> Iterator[RealDevice]:
    """The system at work, or another one's, with its agent connected to a server of the tests.

    With the `keys` of an earlier one it is the same device.
    """
    directory = folder / "run"
    directory.mkdir(parents=True)
    install_built((builder or build(folder, release, pump)).build(), directory)
    if keys is None:
        pairs.generate(directory / "keys", sorted(pairs.DEVICE_KEYS.items()))
    else:
        shutil.copytree(keys, directory / "keys")
    system = RealDevice(directory, (directory / "keys/server.pub").read_bytes())
    with system:
        command = [sys.executable, "-m", "kos.services.admin.beside", "--run", str(directory)]
        command += ["--key", str(directory / "keys" / "server.key"), "--name", system.name]
        command += ["--server", f"127.0.0.1:{bus_port}"]
        agent = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            yield system
        finally:
            agent.terminate()
            agent.wait(90)
