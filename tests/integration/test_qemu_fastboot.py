"""A system that fastboot sends to RAM: Debian's client speaks to a peer of ours, and what arrived boots under
QEMU.
"""

from __future__ import annotations

import subprocess

import pytest

from kos.build.image import qemu
from kos.build.image.run import find
from kos.build.image.run import run as run_program
from kos.manifest import PlatformSpec
from kos.platforms import board
from kos.tool.request import RunRequest
from kos.tool.runners.fastboot import prepare

from .fastboot_peer import Peer
from .qemu_device import PLATFORM, STEADY, Device, needs_sdk, powered, project

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(1200)]


class RamMachine:
    """QEMU that starts a kernel and ramdisk, with no storage at all."""

    def __init__(self, folder, arguments: str) -> None:
        self.command = [
            *(
                find(qemu.PROGRAMS["aarch64"]),
                "-nodefaults",
                "-display",
                "none",
                "-machine",
                "virt",
                "-smp",
                "2",
            ),
            *("-cpu", "max,pauth-impdef=on", "-m", "1024M", "-serial", "stdio", "-append", arguments),
            *("-kernel", str(folder / "kernel"), "-initrd", str(folder / "ramdisk.out")),
        ]

    def start(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self.command, **pipes)


def test_what_fastboot_sends_boots_without_storage(tmp_path):
    sdk = needs_sdk()
    try:
        find("fastboot")
    except Exception as error:
        pytest.skip(f"needs fastboot: {error}")
    source = project(tmp_path / "project", {"alpha": STEADY.format(text="alpha one")}, "1.0.0")
    words = prepare(RunRequest(source, PLATFORM), board(PlatformSpec.parse(PLATFORM)), sdk, tmp_path)
    peer = Peer()
    run_program("fastboot", "-s", peer.address, *words)
    peer.join()
    kernel, ramdisk, arguments = peer.parts()
    assert "kos.root=ram" in arguments
    (tmp_path / "kernel").write_bytes(kernel)
    (tmp_path / "ramdisk.out").write_bytes(ramdisk)
    machine = RamMachine(tmp_path, arguments)
    with powered(machine) as device:  # type: ignore[arg-type]
        assert isinstance(device, Device)
        device.wait_for("generation 1 .trial., release 1.0.0")
        device.wait_for("healthy: generation 1")
