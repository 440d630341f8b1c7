"""Run a program of the host for the image builder: a clear error where it is missing or fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from kos.abi.errors import KosError

EPOCH = 1_700_000_000  # seconds: the one time that is in an image

# Which Debian package brings each program.
PACKAGES = {
    "debugfs": "e2fsprogs",
    "depmod": "kmod",
    "dumpimage": "u-boot-tools",
    "e2fsck": "e2fsprogs",
    "fw_printenv": "libubootenv-tool",
    "lz4": "lz4",
    "mcopy": "mtools",
    "mmd": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mkimage": "u-boot-tools",
    "mksquashfs": "squashfs-tools",
    "sfdisk": "fdisk",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-arm": "qemu-system-arm",
    "fastboot": "fastboot",
    "uuu": "uuu",
}


def find(program: str) -> str:
    """The path of a program of the host, also where only root's PATH has it.

    Raises:
        KosError: it is not installed.
    """
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not found:
        raise KosError(f"{program} is missing", hint=f"apt-get install {PACKAGES.get(program, program)}")
    return found


def run(
    program: str, *arguments: str | Path, stdin: str | None = None, environ: dict[str, str] | None = None
) -> str:
    """Run it with the image's time and nothing of the user's locale; its standard output.

    Raises:
        KosError: it is missing or failed; the message is the last line that it said.
    """
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(EPOCH),
    } | (environ or {})
    command = [find(program), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()
        raise KosError(f"{program} failed with {done.returncode}: {said[-1]}")
    return done.stdout
