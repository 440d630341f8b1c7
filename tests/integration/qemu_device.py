"""A simulated device for tests: the real image under QEMU, its console as lines, its upgrade channel.

One SDK and one system image serve every test of the run; each device has a disk of its own.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from kos.abi.errors import KosError
from kos.build.image import qemu
from kos.build.manifest_zip import ManifestZip
from kos.build.sdk import install
from kos.build.system import Builder
from kos.device.control import ControlClient
from kos.device.upgrade.client import UpgradeClient
from kos.manifest import PlatformSpec
from kos.manifest.load import load_project
from kos.platforms import board
from kos.tool.request import RunRequest
from kos.tool.runners.qemu_arm_virt import make

BOOT_SECONDS = 400.0  # a boot takes a minute where other tests run beside it
PLATFORM = "qemu-arm-virt"


def needs_sdk(platform: str = PLATFORM) -> install.Sdk:
    """The SDK with what a platform needs, brought once."""
    facts = board(PlatformSpec.parse(platform))
    try:
        qemu.find(qemu.PROGRAMS[facts.arch])
        return install.install(install.CURRENT, install.wanted_for(facts.sets, facts.arch), print)
    except KosError as error:
        pytest.skip(f"needs the SDK and QEMU: {error}")


SYSTEM = """
    from kos.manifest import App, Context, PythonImage, Restart, System
    from kos.manifest.resources import Storage
    from kos.systems.poukai import Poukai


    class Layer(Poukai):
        {layer}


    class Small(System):
        base = Layer
        release = "{release}"

        def setup(self, ctx: Context) -> Context:
            ctx = ctx.set_kos_options(persistent_boot=True, {options})
            for name in {apps}:
                restart, resources = Restart(backoff_max=0.2), [Storage(1 << 20)]
                ctx = ctx.put_app(App(name, PythonImage(name), restart=restart, resources=resources))
                ctx = ctx.connect_protocol(name, Poukai.log)
            return ctx{more}
"""
APP = """
    [project]
    name = "{name}"
    version = "1.0.0"
    requires-python = ">=3.11"
    dependencies = []
"""
STEADY = """
    import time
    from kos import app

    def main():
        app.ready()
        print("{text}", flush=True)
        while True:
            time.sleep(3600)
"""
KEEPING = """
    import os, time
    from kos import app

    def main():
        with open("/data/kept", "w") as file:
            file.write("kept")
            file.flush()
            os.fsync(file.fileno())
        os.fsync(os.open("/data", os.O_RDONLY))
        app.ready()
        print("{text}", flush=True)
        while True:
            time.sleep(3600)
"""
CRASHING = """
    from kos import app

    def main():
        app.ready()
        raise SystemExit("this release is broken")
"""


def project(
    root: Path,
    apps: Mapping[str, str],
    release: str,
    options: str = "disable_signing=True",
    more: str = "",
    layer: str = "pass",
) -> Path:
    """A project whose apps have these sources.

    `more` is called on the context at the end, `layer` is what its base changes of Poukai.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "system.py").write_text(
        dedent(SYSTEM).format(apps=sorted(apps), options=options, release=release, more=more, layer=layer)
    )
    for name, source in apps.items():
        package = root / name / name
        package.mkdir(parents=True, exist_ok=True)
        (root / name / "pyproject.toml").write_text(dedent(APP).format(name=name))
        (package / "__init__.py").write_text(dedent(source))
    return root


def archive(
    root: Path, target: Path, platform: str = PLATFORM, parts: Mapping[str, Path] | None = None
) -> Path:
    """The project's manifest.zip, with the device's own parts where some are given."""
    Builder(load_project(root), platform).build().with_parts(parts or {}).write(target)
    return target


@dataclass
class Device:
    """A running device."""

    machine: qemu.Machine
    process: subprocess.Popen[bytes]
    started: float
    log: Path | None = None  # where the console is kept for whoever looks at a failure

    def __post_init__(self) -> None:
        self.lines: list[tuple[float, str]] = []
        self._news = threading.Condition()
        self._ended = self._failed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            if self.log:
                with self.log.open("ab") as file:
                    file.write(raw)
            with self._news:
                self.lines.append((time.monotonic() - self.started, raw.decode(errors="replace").rstrip()))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, pattern: str, after: int = 0, seconds: float = BOOT_SECONDS) -> int:
        """The number of the first console line after `after` lines that holds the pattern.

        Once a wait has failed, only what is there already is found: tests that share a device do not each
        wait for what comes no more.
        """
        deadline = time.monotonic() + (0.0 if self._failed else seconds)
        with self._news:
            while True:
                for number in range(after, len(self.lines)):
                    if re.search(pattern, self.lines[number][1]):
                        return number
                after = max(after, len(self.lines))
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    self._failed = True
                    raise AssertionError(
                        f"{pattern!r} did not come; the console ended with:\n{self.text()[-3000:]}"
                    )
                self._news.wait(left)

    def text(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def all_ready(self) -> None:
        """Wait until every app is ready. The console counts only those that were in time, which a device on a
        busy machine need not be.
        """
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            with suppress(KosError), ControlClient(self.machine.folder) as control:
                waiting = [name for name, app in control.status()["apps"].items() if not app["ready"]]
                if not waiting:
                    return
            assert time.monotonic() < deadline, f"not all apps are ready:\n{self.text()[-3000:]}"
            time.sleep(0.2)

    def client(self) -> UpgradeClient:
        return UpgradeClient(self.machine.upgrade_socket)

    def kill(self) -> None:
        """Cut the power."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


@contextmanager
def powered(machine: qemu.Machine) -> Iterator[Device]:
    """The machine, switched on."""
    folder = getattr(machine, "folder", None)
    device = Device(machine, machine.start(), time.monotonic(), folder and folder / "console.log")
    try:
        yield device
    finally:
        device.kill()


def new_machine(source: Path, folder: Path, platform: str = PLATFORM) -> qemu.Machine:
    """A machine with a fresh disk for a project or manifest.zip."""
    folder.mkdir(parents=True, exist_ok=True)
    return make(RunRequest(source, platform), folder)


def push(device: Device, path: Path, folder: Path) -> tuple[list[dict[str, Any]], int]:
    """Upgrade the device; its events, and the bytes of the blobs that were sent."""
    from kos.device.upgrade.client import push as send

    events: list[dict[str, Any]] = []
    with ManifestZip(path) as opened, device.client() as client:

        def blob(sha256: str) -> Path:
            file = folder / sha256
            with file.open("wb") as out:
                opened.copy_blob(sha256, out)
            return file

        sent = send(client, opened.manifest_bytes, opened.signatures, blob, events.append)
    return events, sent.bytes
