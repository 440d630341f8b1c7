"""Run a system in QEMU: the real kernel and image, from power-on through U-Boot, with the serial console
attached.
"""

from __future__ import annotations

from pathlib import Path

from kos.build.image import device, qemu
from kos.build.sdk import install
from kos.manifest import PlatformSpec
from kos.manifest.resources import Network
from kos.platforms import board
from kos.tool import output, runs
from kos.tool.device_image import contents
from kos.tool.request import RunRequest


def run(request: RunRequest) -> int:
    """Run a system until it ends or Ctrl-C."""
    request.refuse_board()
    with runs.new(request.run_name(request.manifest())) as folder:
        machine = make(request, folder)
        output.step("QEMU starts; Ctrl-C stops it")
        return machine.attach()


def make(request: RunRequest, folder: Path) -> qemu.Machine:
    """The machine that runs the request, its disk in `folder`; not started."""
    spec = PlatformSpec.parse(request.platform)
    facts, sdk = board(spec), install.current()
    disk, flash, loader = folder / "disk.img", folder / "flash.img", folder / "u-boot.img"
    filled = contents(request, facts, sdk, folder / "contents")
    device.write(facts, sdk, "run", filled, disk)
    device.flash(facts, flash)
    qemu.loader_flash(device.boot_files(facts, sdk)["u-boot.bin"], loader)
    networked = any(app.resources_of(Network) for app in request.manifest().apps.values())
    return qemu.Machine(facts, disk, flash, loader, folder, hyp=spec.hyp, outside=networked)
