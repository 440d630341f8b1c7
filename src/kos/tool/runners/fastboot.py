"""Run a system on a board: kernel and a whole device in an initramfs, sent to RAM by fastboot; storage is not
written.

The board's U-Boot must wait in fastboot (`fastboot usb 0`, `fastboot tcp`). The client is Debian's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import termios
from pathlib import Path

from kos.abi.errors import KosError
from kos.build.image import data, disk, modules, system
from kos.build.image.device import KEYS_SIZE
from kos.build.image.run import run as run_program
from kos.build.sdk import install
from kos.build.sdk.install import Sdk, Wanted
from kos.build.sdk.sets import DEBIAN_ARCH
from kos.manifest import PlatformSpec
from kos.platforms import board
from kos.platforms.board import MIB, Board
from kos.tool import output
from kos.tool.request import RunRequest, install_keys

DATA_SIZE = 32 * MIB
_SPEED = termios.B115200


def run(request: RunRequest) -> int:
    """Send the system and attach the serial console, until Ctrl-C."""
    spec = PlatformSpec.parse(request.platform)
    # Asked before the image is made, which takes a while.
    if not request.fastboot and not run_program("fastboot", "devices").strip():
        raise KosError(
            f"no {spec.name} waits in fastboot on USB",
            hint="type `fastboot usb 0` at its U-Boot prompt, or name it with --fastboot tcp:ADDRESS",
        )
    facts, sdk = board(spec), install.current()
    # Open before the board starts, so that its first words are kept for us.
    console = open_console(request.serial) if request.serial else None
    with tempfile.TemporaryDirectory(prefix="kos-fastboot-") as folder:
        try:
            command = prepare(request, facts, sdk, Path(folder))
            output.step("sending the system to the board")
            run_program("fastboot", *(["-s", request.fastboot] if request.fastboot else []), *command)
            if console is not None:
                output.step(f"console {request.serial}; Ctrl-C detaches it")
                with contextlib.suppress(KeyboardInterrupt):
                    attach(console)
        finally:
            if console is not None:
                os.close(console)
    return 0


def prepare(request: RunRequest, facts: Board, sdk: Sdk, folder: Path) -> list[str]:
    """Make what is sent; the words of fastboot that send and start it."""
    tree = folder / "data"
    tree.mkdir()
    manifest = request.install(tree)
    document = (tree / "manifest.json").read_bytes()
    data.fill(tree, manifest, document, {}, None)
    install_keys(folder / "keys", request.keys)
    disk.ext4(folder / "data.img", DATA_SIZE, "kos-data", tree)
    disk.ext4(folder / "keys.img", KEYS_SIZE, "kos-keys", folder / "keys")
    parts = system.build(facts, sdk, manifest.options)
    kernel = modules.Kernel(sdk.folder(Wanted(facts.kernel_set, DEBIAN_ARCH[facts.arch])))
    packed = system.ram_initramfs(facts, kernel, parts.root, folder / "data.img", folder / "keys.img")
    (folder / "ramdisk").write_bytes(packed)
    arguments = f"console={facts.console} {system.KERNEL_ARGUMENTS} kos.root=ram"
    words = ["--cmdline", arguments, "--base", "0x0"]
    if facts.device_tree:
        words += ["--dtb", str(kernel.device_trees / facts.device_tree), "--header-version", "2"]
    return [*words, "boot", str(kernel.image), str(folder / "ramdisk")]


def open_console(device: Path) -> int:
    """The serial console, 115,200 baud, bytes as they are.

    Raises:
        KosError: it cannot be opened.
    """
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise KosError(
            f"the console cannot be opened: {error.strerror}",
            where=str(device),
            hint="serial consoles usually belong to the group dialout",
        ) from error
    if not os.isatty(descriptor):
        os.close(descriptor)
        raise KosError("expected a serial console", where=str(device), hint="such as /dev/ttyUSB0")
    raw = termios.tcgetattr(descriptor)
    raw[0] = raw[1] = raw[3] = 0
    raw[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
    raw[4] = raw[5] = _SPEED
    termios.tcsetattr(descriptor, termios.TCSANOW, raw)
    return descriptor


def attach(console: int) -> None:
    """Copy the serial console to standard output until it goes away."""
    while True:
        try:
            chunk = os.read(console, 4096)
        except OSError as error:
            if error.errno != errno.EIO:  # what an adapter says that was unplugged
                raise
            chunk = b""
        if not chunk:
            output.step("the console is gone")
            return
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
