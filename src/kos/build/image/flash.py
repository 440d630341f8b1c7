"""Write a disk image to where a board starts from, and read it back. It asks nothing; the caller has
confirmed.

To an image file, to a block device such as a card in a reader, or over USB by NXP's `uuu`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kos.abi.errors import KosError
from kos.build.image.run import run
from kos.platforms.board import Board

CHUNK = 4 << 20


def check_target(target: Path, size: int) -> bool:
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
    facts = Path("/sys/class/block", name)
    if (facts / "partition").exists():
        raise KosError(
            "this is a partition, the whole device is needed",
            where=str(target),
            hint=f"/dev/{facts.resolve().parent.name}",
        )
    if (facts / "removable").read_text().strip() != "1":
        raise KosError("this device is not removable: it may be this machine's own disk", where=str(target))
    used = [
        line.split()[1]
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if _of(line.split()[0], name)
    ]
    if used:
        raise KosError(
            f"it is mounted on {', '.join(used)}", where=str(target), hint=f"umount {' '.join(used)}"
        )
    capacity = int((facts / "size").read_text()) * 512
    if capacity < size:
        raise KosError(f"it has {capacity} bytes, the image needs {size}", where=str(target))
    return True


def _of(source: str, device: str) -> bool:
    return source.startswith("/dev/") and Path(source).resolve().name.startswith(device)


def write(image: Path, target: Path) -> str:
    """Write the image, read it back from the medium and compare; its SHA-256.

    Raises:
        KosError: what was read is not what was written.
    """
    written = hashlib.sha256()
    with target.open("r+b" if target.exists() else "wb", buffering=0) as file:
        for chunk in _chunks(image):
            written.update(chunk)
            file.write(chunk)
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.truncate(image.stat().st_size)
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    verify(target, written.hexdigest(), image.stat().st_size)
    return written.hexdigest()


def verify(target: Path, sha256: str, size: int) -> None:
    """That the first `size` bytes of the target have this hash.

    Raises:
        KosError: they have not.
    """
    digest = hashlib.sha256()
    with target.open("rb", buffering=0) as file:
        left = size
        while left and (chunk := file.read(min(left, CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    if digest.hexdigest() != sha256:
        raise KosError(
            "what was read back is not what was written",
            where=str(target),
            hint="the medium is worn or was removed",
        )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def uuu_script(board: Board, image: Path, u_boot: Path) -> str:
    """What `uuu` does with an i.MX board in its serial download mode: start U-Boot, write the eMMC, verify
    it.
    """
    number = board.loader.storage.split(" ")[1]
    return (
        "uuu_version 1.4.165\n"
        f"SDPS: boot -f {u_boot}\nSDP: boot -f {u_boot}\nSDPU: delay 1000\n"
        f"SDPU: write -f {u_boot} -offset 0x57c00\nSDPU: jump\nSDPV: delay 1000\n"
        f"SDPV: write -f {u_boot} -skipspl\nSDPV: jump\n"
        f"FB: ucmd setenv fastboot_dev mmc\nFB: ucmd setenv mmcdev {number}\nFB: ucmd mmc dev {number}\n"
        f"FB: flash -raw2sparse all {image}\n"
        f"FB: ucmd mmc partconf {number} 0 7 0\n"
        "FB: done\n"
    )


def over_usb(script: Path) -> None:
    """Run `uuu` with a script."""
    run("uuu", "-b", script)
