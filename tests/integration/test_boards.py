"""A card or eMMC image of each board, made by `kos-tool bootstrap`, read with tools that others wrote; and
whether the image holds a driver of everything that the board's storage and Ethernet need by its device tree.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import termios
from dataclasses import dataclass
from pathlib import Path

import pytest

from kos.build.image import modules
from kos.build.image.run import find
from kos.build.sdk.install import Sdk, Wanted
from kos.build.sdk.sets import DEBIAN_ARCH
from kos.device.store import bootrecord
from kos.keys import pairs
from kos.manifest import PlatformSpec
from kos.platforms import board
from kos.platforms.board import Board
from tests.powercut.at_rest import partitions
from tests.security.secrets_watch import ArgumentWatch, forms, shows
from tests.tool.running import going_on, kos_tool

from .device_tree import Node, needed_by, read
from .fastboot_peer import Peer
from .qemu_device import STEADY, archive, needs_sdk, powered, project

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(1800)]

SPECS = ["am335x", "rpi4", "imx8mm-evk", "portenta-x8"]
# Nodes of each board's device tree that the first drivers are for, and those for later.
STORAGE = {"am335x": "/mmc@0$", "rpi4": "/mmc@7e340000$", "imx8mm-evk": "/mmc@30b60000$"}
LATER = {
    "am335x": r"/(switch|mdio|wdt|i2c)@[0-9a-f]+$",
    "rpi4": r"^/soc/i2c@7e804000$|/(ethernet|mdio|watchdog)@[0-9a-f]+$",
    "imx8mm-evk": r"/(ethernet|i2c|watchdog)@[0-9a-f]+$",
}


def tool(*command: object) -> str:
    words = [find(str(command[0])), *map(str, command[1:])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass
class Card:
    """An image that was written: its partitions cut out as files."""

    facts: Board
    sdk: Sdk
    image: Path
    keys: Path
    said: str
    folder: Path

    def part(self, name: str) -> Path:
        path = self.folder / f"{name}.img"
        if not path.exists():
            start, size = partitions(self.image)[name]
            path.write_bytes(self.bytes_at(start, size))
        return path

    def bytes_at(self, start: int, size: int) -> bytes:
        with self.image.open("rb") as file:
            return os.pread(file.fileno(), size, start)

    def cut(self, start: int, size: int, name: str) -> Path:
        path = self.folder / name
        path.write_bytes(self.bytes_at(start, size))
        return path


@pytest.fixture(scope="module", params=SPECS)
def card(request, tmp_path_factory):
    sdk = needs_sdk(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    options = "disable_signing=True, data_size=32 << 20"
    source = project(folder / "project", {"alpha": STEADY.format(text="alpha")}, "1.0.0", options)
    source = archive(source, folder / "manifest.zip", request.param)
    pairs.generate(folder / "keys", pairs.DEVICE_KEYS.items())
    (folder / "flash.bin").write_bytes(b"vendor" * 1000)
    facts = board(PlatformSpec.parse(request.param))
    command = [
        "bootstrap",
        source,
        "-p",
        request.param,
        "--to",
        folder / "card.img",
        "--keys",
        folder / "keys",
    ]
    command += ["--uboot", folder / "flash.bin"] if facts.usb_flash else []
    dry = kos_tool(*command, "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    assert not (folder / "card.img").exists(), "a dry run writes nothing"
    secrets = [(folder / "keys" / f"{name}.key").read_bytes() for name in pairs.DEVICE_KEYS]
    with ArgumentWatch(secrets) as watch:
        done = kos_tool(*command, "--json")
    assert done.returncode == 0, done.stderr
    assert not watch.found and watch.looks
    made = Card(
        facts, sdk, folder / "card.img", folder / "keys", dry.stdout + done.stdout + done.stderr, folder
    )
    areas = {name: (int(offset, 16), size) for offset, size, name in json.loads(dry.stdout)["areas"]}
    assert {name: areas[name] for name in partitions(made.image)} == partitions(made.image)
    return made


def test_other_peoples_tools_read_the_card(card):
    table = json.loads(tool("sfdisk", "--json", card.image))["partitiontable"]
    assert table["label"] == "gpt" and "No errors" in tool("sfdisk", "--verify", card.image)
    for name in ("kos-boot", "kos-bootfs-a"):
        tool("fsck.vfat", "-n", card.part(name))
    for name in ("kos-keys", "kos-data"):
        tool("fsck.ext4", "-fn", card.part(name))
    on_boot = tool("mdir", "-b", "-i", card.part("kos-boot"), "::").split()
    assert {f"::/{name}" for name in ("boot.scr", *card.facts.boot_files, *card.facts.boot_texts)} <= set(
        on_boot
    )
    for image, name in (("kos-boot", "boot.scr"), ("kos-bootfs-a", "slot.scr")):
        tool("mcopy", "-n", "-i", card.part(image), f"::{name}", card.folder)
        for program in ("dumpimage", "mkimage"):
            assert "Script" in tool(program, "-l", card.folder / name)
    for offset in bootrecord.COPY_OFFSETS:
        config = card.folder / "fw_env.config"
        config.write_text(f"{card.part('kos-env')} {offset:#x} {bootrecord.COPY_SIZE:#x}\n")
        assert "kos_good=a" in tool("fw_printenv", "-c", config).split()
    assert "zstd" in tool("unsquashfs", "-s", card.part("kos-root-a"))
    root = tool("unsquashfs", "-l", card.part("kos-root-a"))
    assert "squashfs-root/usr/lib/kos/init\n" in root and "/usr/bin/sh\n" not in root
    files = tool("mdir", "-b", "-i", card.part("kos-bootfs-a"), "::").split()
    tree = Path(card.facts.device_tree).name
    assert {"::/kernel", "::/initramfs", *([f"::/{tree}"] if tree else [])} <= set(files)
    tool("mcopy", "-n", "-i", card.part("kos-bootfs-a"), "::initramfs", card.folder)
    with (card.folder / "initramfs").open("rb") as file:
        listed = subprocess.run(
            ["cpio", "-t", "--quiet"], stdin=file, capture_output=True, text=True, check=True
        )
    assert "init" in listed.stdout.split()


def test_boot_loaders_are_where_the_rom_looks(card):
    """AM335x Technical Reference Manual (SPRUH73Q), 26.1.8.5.5; i.MX 8M Mini Reference Manual, 6.1.5.1."""
    inside = partitions(card.image).values()
    for offset, name in card.facts.raw.items():
        assert all(not start <= offset < start + size for start, size in inside), f"{name} is in a partition"
    if card.facts.name == "am335x":
        for offset in (0x20000, 0x40000):
            mlo = card.cut(offset, 0x20000, f"MLO-{offset:x}")
            # The configuration header that the ROM checks: at the start, with the item CHSETTINGS.
            assert mlo.read_bytes()[0x14:0x1E] == b"CHSETTINGS"
            assert "LoadAddr 402f0400" in tool("mkimage", "-l", mlo), "internal RAM, where the ROM starts it"
        loader = card.cut(0x60000, 1 << 20, "u-boot.img")
        assert "am335x-boneblack" in tool("dumpimage", "-l", loader)
    elif card.facts.usb_flash:
        assert card.bytes_at(33 * 1024, 6000) == b"vendor" * 1000
    else:
        assert not card.facts.raw, "its first stages are files on the boot partition"
        tool("mcopy", "-n", "-i", card.part("kos-boot"), "::config.txt", card.folder)
        assert "kernel=u-boot.bin" in (card.folder / "config.txt").read_text()


def test_run_sends_to_ram_and_attaches_the_console(card, tmp_path):
    """The board is a peer that speaks fastboot, its serial console a terminal of ours."""
    ours, theirs = os.openpty()
    words = b"U-Boot SPL\r\n\x00\xff raw bytes\r\nStarting kernel ...\r\n"

    def booted() -> None:
        os.write(ours, words)

    peer = Peer(booted)
    serial = os.ttyname(theirs)
    command = ["run", card.folder / "manifest.zip", "-p", card.facts.name, "--keys", card.keys]
    command += ["--fastboot", peer.address, "--serial", serial]
    try:
        with going_on(*command, output=tmp_path / "out") as run:
            run.until_printed("sending the system")
            run.until_printed("Starting kernel ...")
            assert termios.tcgetattr(theirs)[4:6] == [termios.B115200] * 2
            peer.join()
            assert run.interrupt() == 0, "Ctrl-C detaches"
        assert words in (tmp_path / "out").read_bytes()
    finally:
        os.close(ours)
        os.close(theirs)
    kernel, ramdisk, arguments = peer.parts()
    assert f"console={card.facts.console}" in arguments and "kos.root=ram" in arguments
    assert len(kernel) > 1 << 20 and len(ramdisk) > 1 << 20
    secret = (card.keys / "server.key").read_bytes()
    assert not shows(arguments.encode() + (tmp_path / "out").read_bytes(), forms(secret))


def test_private_keys_are_in_the_key_partition_only(card):
    data = card.image.read_bytes()
    places = partitions(card.image)
    start, size = places["kos-keys"]
    for name in pairs.DEVICE_KEYS:
        secret = (card.keys / f"{name}.key").read_bytes()
        found = [match.start() for match in re.finditer(re.escape(secret), data)]
        assert found and all(start <= at < start + size for at in found)
        assert not shows(card.said.encode(), forms(secret)) and not shows(data, forms(secret)[1:])
        mode = tool("debugfs", "-R", f"stat /{name}.key", card.part("kos-keys"))
        assert "Mode:  0600" in mode and "User:     0   Group:     0" in mode
        public = (card.keys / f"{name}.pub").read_bytes().hex()
        assert public in card.said


def test_u_boot_starts_the_card_in_qemus_raspberry_pi(card):
    """As far as it goes: QEMU here has no Pi 4. U-Boot for the Pi 3, unchanged, finds our script on the card,
    reads the boot record and unpacks the kernel, which is for another board's devices.
    """
    if card.facts.name != "rpi4":
        pytest.skip("not applicable: QEMU has no such board")
    kernel = modules.Kernel(card.sdk.folder(Wanted(card.facts.kernel_set, "arm64")))
    loader = (
        card.sdk.folder(Wanted(card.facts.loader.package_set, "arm64")) / "usr/lib/u-boot/rpi_3/u-boot.bin"
    )
    disk = card.folder / "sd.img"
    subprocess.run(["cp", "--sparse=always", card.image, disk], check=True)
    os.truncate(disk, 1 << 30)  # a card's size is a power of two
    command = [find("qemu-system-aarch64"), "-M", "raspi3b", "-display", "none", "-serial", "null"]
    command += ["-serial", "stdio", "-kernel", str(loader), "-drive", f"if=sd,format=raw,file={disk}"]
    command += ["-dtb", str(kernel.device_trees / "broadcom/bcm2837-rpi-3-b.dtb")]
    with powered(Plain(command)) as device:  # type: ignore[arg-type]
        at = device.wait_for("bootflow '.*part_1' with script")
        at = device.wait_for("KOS: starting slot a", at)
        device.wait_for("Uncompressing Kernel Image", at)


@dataclass
class Plain:
    """A QEMU whose command line is known."""

    command: list[str]

    def start(self) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self.command, **pipes)


def aliases_of(folder: Path, kernel: modules.Kernel) -> list[list[str]]:
    """Pattern and module of each device tree name that a kernel's modules are for."""
    listed = tool("depmod", "-n", "-b", folder / "usr", kernel.release)
    return [line.split()[1:] for line in listed.splitlines() if line.startswith("alias of:")]


def drivers(nodes: dict[str, Node], pattern: str, aliases: list[list[str]]) -> dict[str, set[str]]:
    """Each node that an enabled node of that name needs and whose driver is a module, with the module."""
    starts = [node for node in nodes.values() if re.search(pattern, node.path) and node.enabled]
    assert starts, f"no node {pattern}"
    found: dict[str, set[str]] = {}
    for start in starts:
        for path, node in needed_by(nodes, start).items():
            for name in node.texts("compatible"):
                words = {module for alias, module in aliases if fnmatch.fnmatch(f"of:NnTnC{name}", alias)}
                found.setdefault(path, set()).update(words)
    return {path: words for path, words in found.items() if words}


@pytest.mark.parametrize("spec", STORAGE)
def test_each_driver_of_the_device_tree_is_there(spec):
    """A regulator whose driver is missing keeps a card from ever appearing: Linux defers it for ever."""
    sdk = needs_sdk(spec)
    facts = board(PlatformSpec.parse(spec))
    folder = sdk.folder(Wanted(facts.kernel_set, DEBIAN_ARCH[facts.arch]))
    kernel = modules.Kernel(folder)
    nodes, aliases = read((kernel.device_trees / facts.device_tree).read_bytes()), aliases_of(folder, kernel)
    for pattern, have in (
        (STORAGE[spec], facts.boot_modules),
        (LATER[spec], (*facts.boot_modules, *facts.modules)),
    ):
        loaded = {modules.module_name(path) for path in kernel.closure(list(have))}
        for path, wanted in drivers(nodes, pattern, aliases).items():
            assert wanted & loaded, f"{path} needs one of {sorted(wanted)}"
