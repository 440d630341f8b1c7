"""A whole disk for a device: boot loader, boot record, two slots, keys, data. What `run` starts and
`bootstrap` writes.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from kos.abi.errors import KosError
from kos.build.image import bootscript, disk
from kos.build.image.modules import Kernel
from kos.build.image.system import System
from kos.build.sdk.install import Sdk, Wanted
from kos.build.sdk.sets import DEBIAN_ARCH
from kos.device.store import bootrecord, ubootenv
from kos.platforms.board import MIB, Board

KEYS_SIZE = 4 * MIB
DATA_SIZE = 256 * MIB
SLOTS = bootrecord.SLOTS
FLASH_SIZE = 64 * MIB  # of one flash bank of QEMU's virt machine
FLASH_ENV_SIZE = 0x40000  # CONFIG_ENV_SIZE of its U-Boot


@dataclass(frozen=True)
class Contents:
    """What a device is filled with.

    Attributes:
        system: goes into slot a; slot b stays empty until the first upgrade.
        keys: folder with the device's own keys, or None.
        data: folder with what the data partition holds at first.
        data_size: bytes of the data partition.
        u_boot: a vendor's boot loader, for boards that have none in Debian.
    """

    system: System
    data: Path
    keys: Path | None = None
    data_size: int = DATA_SIZE
    u_boot: Path | None = None


def boot_files(board: Board, sdk: Sdk) -> dict[str, Path]:
    """Files of the board's boot loader and firmware, by the names that the board gives them."""
    architecture = DEBIAN_ARCH[board.arch]
    found = {}
    if board.loader.package_set:
        package = sdk.folder(Wanted(board.loader.package_set, architecture))
        found = {name: package / path for name, path in board.loader.files.items()}
    return found


def boot_partition(board: Board, sdk: Sdk, loader: dict[str, Path], script: bytes) -> dict[str, bytes | Path]:
    """What the boot partition holds: our script, and what the board's first stages read there."""
    files: dict[str, bytes | Path] = {"boot.scr": script}
    files |= {name: text.encode() for name, text in board.boot_texts.items()}
    for name, source in board.boot_files.items():
        package, colon, path = source.partition(":")
        if not colon:
            files[name] = loader[source]
            continue
        folder = sdk.folder(Wanted(package, DEBIAN_ARCH[board.arch]))
        tree = Kernel(folder).device_trees if package == board.kernel_set else folder
        files[name] = tree / path
    return files


def raw_areas(board: Board, loader: dict[str, Path]) -> list[disk.Raw]:
    """What lies outside the partitions, at places that the board's ROM or boot loader knows.

    Raises:
        KosError: a file for it is missing, or does not fit.
    """
    areas = []
    for offset, end in pairwise([*sorted(board.raw), board.first_partition]):
        name = board.raw[offset]
        if name not in loader:
            raise KosError(
                f"{board.name} needs the vendor's boot loader, {name}", hint="pass it with --uboot FILE"
            )
        if not loader[name].is_file() or not loader[name].stat().st_size:
            raise KosError("expected a boot loader, found none", where=str(loader[name]))
        if loader[name].stat().st_size > end - offset:
            raise KosError(
                f"{name} has more than the {end - offset} bytes that lie there", where=str(loader[name])
            )
        areas.append(disk.Raw(offset, loader[name]))
    return areas


def layout(board: Board, name: str, contents: Contents, parts: Path, raw: list[disk.Raw]) -> disk.Layout:
    """Partitions of the device; what they are filled with is written into the folder `parts`."""
    partitions = [
        disk.Partition("kos-boot", board.boot_size, "fat", parts / "boot.img", bootable=True),
        disk.Partition(bootrecord.PARTITION, bootrecord.PARTITION_SIZE, "linux", parts / "env.img"),
        disk.Partition("kos-bootfs-a", board.bootfs_size, "fat", contents.system.bootfs),
        disk.Partition("kos-bootfs-b", board.bootfs_size, "fat"),
        disk.Partition("kos-root-a", board.root_size, "linux", contents.system.root),
        disk.Partition("kos-root-b", board.root_size, "linux"),
        disk.Partition("kos-keys", KEYS_SIZE, "linux", parts / "keys.img"),
        disk.Partition("kos-data", contents.data_size, "linux", parts / "data.img"),
    ]
    return disk.Layout(name, partitions, raw, start=board.first_partition)


def write(board: Board, sdk: Sdk, name: str, contents: Contents, image: Path) -> disk.Layout:
    """Make the disk image of a device called `name`."""
    with tempfile.TemporaryDirectory(dir=image.parent) as folder:
        parts = Path(folder)
        loader = boot_files(board, sdk)
        if contents.u_boot:
            loader |= {one: contents.u_boot for one in board.raw.values()}
        plan = layout(board, name, contents, parts, raw_areas(board, loader))
        numbers = {slot: plan.number(f"kos-bootfs-{slot}") for slot in SLOTS}
        sector = plan.offsets()[bootrecord.PARTITION] // disk.SECTOR
        script = bootscript.boot_script(board.loader, sector, numbers)
        files = boot_partition(board, sdk, loader, bootscript.compiled(script))
        disk.fat(parts / "boot.img", board.boot_size, "KOS", files)
        (parts / "env.img").write_bytes(bootrecord.partition_image())
        disk.ext4(parts / "keys.img", KEYS_SIZE, "kos-keys", contents.keys)
        disk.ext4(parts / "data.img", contents.data_size, "kos-data", contents.data)
        disk.write(plan, image)
    return plan


def flash(board: Board, image: Path, start: str | None = None) -> None:
    """The simulator's second flash bank: the boot loader's own environment, which starts KOS without a
    countdown, or does what `start` says.
    """
    loader = board.loader
    if start is None:
        start = f"load {loader.storage}:1 {loader.scratch:#x} boot.scr && source {loader.scratch:#x}"
    block = ubootenv.encode(
        {"bootdelay": "0", "preboot": "", "bootcmd": start} | loader.environment, FLASH_ENV_SIZE
    )
    with image.open("wb") as file:
        file.write(block)
        file.truncate(FLASH_SIZE)
