"""Debian's U-Boot alone in QEMU, on a disk of the test's own: its console, its reset, no kernel."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kos.build.image import device, qemu
from kos.build.sdk.install import Sdk, Wanted
from kos.manifest import PlatformSpec
from kos.platforms import board

from .qemu_device import Device, powered


class UBoot:
    """A machine in its boot loader; `console` holds what it printed."""

    def __init__(self, console: Device, monitor: Path) -> None:
        self.console = console
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(monitor))
        self._monitor = self._socket.makefile("rwb")
        self._monitor.readline()  # the greeting
        self._order("qmp_capabilities")
        self._seen = 0

    def close(self) -> None:
        self._monitor.close()
        self._socket.close()

    def _order(self, command: str) -> None:
        self._monitor.write(json.dumps({"execute": command}).encode() + b"\n")
        self._monitor.flush()
        while "return" not in json.loads(self._monitor.readline()):
            pass  # an event

    def reset(self) -> None:
        """Press the button."""
        self._order("system_reset")

    def wait_for(self, pattern: str) -> str:
        """The next line that holds the pattern."""
        self._seen = self.console.wait_for(pattern, self._seen) + 1
        return self.console.lines[self._seen - 1][1]

    def type(self, command: str) -> None:
        """Type a command at the prompt."""
        assert self.console.process.stdin is not None
        self.console.process.stdin.write(command.encode() + b"\n")
        self.console.process.stdin.flush()


@contextmanager
def u_boot(sdk: Sdk, platform: str, disk: Path, folder: Path, *, prompt: bool = False) -> Iterator[UBoot]:
    """U-Boot of a platform with this disk; with `prompt` it starts nothing and waits for commands."""
    facts = board(PlatformSpec.parse(platform))
    folder.mkdir(exist_ok=True)
    loader, flash, monitor = folder / "loader.img", folder / "flash.img", folder / "monitor"
    # One package has U-Boot for both processors.
    package = sdk.folder(Wanted(facts.loader.package_set, "arm64"))
    qemu.loader_flash(package / facts.loader.files["u-boot.bin"], loader)
    device.flash(facts, flash, start="" if prompt else None)
    machine = qemu.Machine(facts, disk, flash, loader, folder)
    machine.extra = ["-qmp", f"unix:{monitor},server=on,wait=off"]
    with powered(machine) as console:
        console.wait_for("U-Boot")
        found = UBoot(console, monitor)
        try:
            yield found
        finally:
            found.close()
