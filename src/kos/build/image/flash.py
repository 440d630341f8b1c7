"""Write a disk image to where a board starts from, and read it back. It asks nothing; the caller has
confirmed.

To an image file, to a block device such as a card in a reader, or over USB by NXP's `uuu`.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zlib
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from kos.abi.errors import KosError
from kos.build.image.run import run
from kos.platforms.board import Board

CHUNK = 4 << 20
HEAD = 1 << 20  # bytes from the beginning: what makes a medium one that starts; written last
SYSFS, MOUNTS, SWAPS = Path("/sys/class/block"), Path("/proc/self/mounts"), Path("/proc/swaps")
VERIFY_BYTES = 32 << 20  # of an eMMC, read into the board's memory and compared at a time


def check_target(target: Path, size: int, sysfs: Path = SYSFS, mounts: Path = MOUNTS) -> bool:
    """That an image may be written there; whether it is a block device.

    Raises:
        KosError: a block device that is fixed, in use or too small, or something that is neither file nor
        device.
    """
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISREG(mode):
        return False
    if not stat.S_ISBLK(mode):
        raise KosError("expected a file or a block device", where=str(target))
    name = target.resolve().name
    facts = sysfs / name
    if (facts / "partition").exists():
        raise KosError(
            "this is a partition, the whole device is needed",
            where=str(target),
            hint=f"/dev/{facts.resolve().parent.name}",
        )
    # A card in a built-in reader is not "removable" to Linux, but says that it is an SD card.
    if _fact(facts / "removable") != "1" and _fact(facts / "device/type") != "SD":
        raise KosError("this device is not removable: it may be this machine's own disk", where=str(target))
    lines = [line.split() for file in (mounts, SWAPS) for line in file.read_text().splitlines()]
    used = [line[1] for line in lines if line and _of(line[0], name)]
    if used:
        raise KosError(
            f"it is mounted on {', '.join(used)}", where=str(target), hint=f"umount {' '.join(used)}"
        )
    holders = sorted(path.name for path in (*facts.glob("holders/*"), *facts.glob(f"{name}*/holders/*")))
    if holders:
        raise KosError(f"it is used by {', '.join(holders)}", where=str(target))
    capacity = int(_fact(facts / "size") or 0) * 512
    if capacity < size:
        raise KosError(f"it has {capacity} bytes, the image needs {size}", where=str(target))
    return True


def _fact(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _of(source: str, device: str) -> bool:
    """Whether `source` is the device or one of its partitions: `sdb1` of `sdb`, `mmcblk0p1` of `mmcblk0`."""
    name = Path(source).resolve().name if source.startswith("/dev/") else ""
    return re.fullmatch(rf"{re.escape(device)}(p?[0-9]+)?", name) is not None


def write(image: Path, target: Path) -> str:
    """Write the image, read it back from the medium and compare; its SHA-256.

    Whatever ends it early, the medium is not one that seems whole: a device gets its beginning last, with the
    partition table, and a file its name.

    Raises:
        KosError: it cannot be written, or what was read is not what was written.
    """
    device = target.exists() and stat.S_ISBLK(target.stat().st_mode)
    part = target if device else target.with_name(f".{target.name}.part")
    # O_EXCL: the kernel refuses a device that anybody uses, whatever our own look at it said.
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if device else os.O_CREAT | os.O_TRUNC)
    try:
        with os.fdopen(os.open(part, flags, 0o600), "r+b", buffering=0) as file:
            sha256 = _copy(image, file, holes=not device)
            _verify(file, sha256, image.stat().st_size)
        if not device:
            part.replace(target)
        return sha256
    except OSError as error:
        raise KosError(
            f"cannot write: {error.strerror}",
            where=str(target),
            hint="nothing usable was written; try again when there is room, or with another medium",
        ) from error
    finally:
        if not device:
            part.unlink(missing_ok=True)


def _copy(image: Path, file: FileIO, *, holes: bool) -> str:
    """Everything but the beginning, made durable; then that."""
    digest = hashlib.sha256()
    size = image.stat().st_size
    with image.open("rb") as source:
        head = source.read(HEAD)
        digest.update(head)
        if holes:
            file.truncate(size)
        else:
            _put(file, 0, bytes(len(head)))
            os.fsync(file.fileno())
        at = len(head)
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            if not holes or chunk.count(0) != len(chunk):
                _put(file, at, chunk)
            at += len(chunk)
    os.fsync(file.fileno())
    _put(file, 0, head)
    os.fsync(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return digest.hexdigest()


def _put(file: FileIO, at: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(file.fileno(), view, at)
        view, at = view[count:], at + count


def _verify(file: FileIO, sha256: str, size: int) -> None:
    digest = hashlib.sha256()
    for at in range(0, size, CHUNK):
        digest.update(os.pread(file.fileno(), min(CHUNK, size - at), at))
    if digest.hexdigest() != sha256:
        raise KosError("what was read back is not what was written", hint="the medium is worn or was removed")


def uuu_script(board: Board, image: Path, u_boot: Path) -> str:
    """What `uuu` does with an i.MX board in its serial download mode: start U-Boot, write the eMMC, have
    U-Boot read it back and compare.
    """
    number = board.loader.storage.split(" ")[1]
    checks = [f"FB[-t 60000]: ucmd {command}\n" for command in verifying(board, image)]
    return (
        "uuu_version 1.4.165\n"
        f"SDPS: boot -f {u_boot}\nSDP: boot -f {u_boot}\nSDPU: delay 1000\n"
        f"SDPU: write -f {u_boot} -offset 0x57c00\nSDPU: jump\nSDPV: delay 1000\n"
        f"SDPV: write -f {u_boot} -skipspl\nSDPV: jump\n"
        f"FB: ucmd setenv fastboot_dev mmc\nFB: ucmd setenv mmcdev {number}\nFB: ucmd mmc dev {number}\n"
        f"FB[-t 600000]: flash -raw2sparse all {image}\n"
        f"{''.join(checks)}"
        f"FB: ucmd mmc partconf {number} 0 7 0\n"
        "FB: done\n"
    )


def verifying(board: Board, image: Path) -> Iterator[str]:
    """U-Boot's commands that read the whole image back from the storage; one fails where it differs.

    `crc32` writes its sum to memory with the highest byte first, `itest` reads a little-endian word there.
    """
    interface = board.loader.storage.split(" ")[0]
    memory, sums = board.loader.unpack_at[0], board.loader.scratch
    with image.open("rb") as file:
        at = 0
        while chunk := file.read(VERIFY_BYTES):
            yield f"{interface} read {memory:#x} {at // 512:#x} {len(chunk) // 512:#x}"
            yield f"crc32 {memory:#x} {len(chunk):#x} {sums:#x}"
            swapped = int.from_bytes(zlib.crc32(chunk).to_bytes(4, "big"), "little")
            yield f"itest.l *{sums:#x} == {swapped:#x}"
            at += len(chunk)


def over_usb(script: Path) -> None:
    """Run `uuu` with a script."""
    run("uuu", "-b", script)
