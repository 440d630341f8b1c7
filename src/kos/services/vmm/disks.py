"""The guest's writable disks: made once, of the image's content where it has one, and kept from then on.

A snapshot is a copy of a disk beside it that nobody writes to again; taking one replaces the one before.
"""

from __future__ import annotations

import os
import shutil

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.services.vmm.command import Place, disk_path
from kos.services.vmm.config import Guest

SNAPSHOT = ".snapshot"


def prepare(guest: Guest, place: Place) -> list[str]:
    """Make the disks that are missing; → their names. A disk appears complete or not at all.

    Raises:
        OSError: no room, or the data is not ours to write.
        ValueError: an image is larger than its disk.
    """
    made = []
    for disk in (disk for disk in guest.disks if not disk.readonly):
        path = disk_path(place, disk)
        if os.path.exists(path):
            continue
        part = f"{path}.part"
        origin = f"{place.image}/disks/{disk.image}"
        if os.path.exists(origin):
            if os.path.getsize(origin) > disk.size:
                raise ValueError(f"{disk.image}: the image has more than the disk's {disk.size} bytes")
            shutil.copyfile(origin, part)
        with open(part, "ab") as file:
            os.truncate(file.fileno(), disk.size)
            os.fsync(file.fileno())
        os.rename(part, path)
        made.append(disk.image)
    return made


def take_snapshot(guest: Guest, place: Place, name: str) -> int:
    """Copy a disk, which nobody must be writing to now; → its size in bytes.

    Raises:
        KeyError: there is no such disk, or the manifest keeps no copies of it.
        OSError: no room.
    """
    path = _snapshot_of(guest, place, name)
    part = f"{path}.part"
    try:
        shutil.copyfile(path.removesuffix(SNAPSHOT), part)
        with open(part, "rb") as file:
            os.fchmod(file.fileno(), 0o400)
            os.fsync(file.fileno())
        os.rename(part, path)
    except OSError:
        if os.path.exists(part):
            os.unlink(part)
        raise
    return os.path.getsize(path)


def read_snapshot(guest: Guest, place: Place, name: str, piece: int) -> bytes:
    """The piece of that number of a disk's snapshot, of `PAYLOAD_MAX_SIZE` bytes; empty beyond its end.

    Raises:
        KeyError: as above.
        FileNotFoundError: none was taken.
    """
    with open(_snapshot_of(guest, place, name), "rb") as file:
        return os.pread(file.fileno(), PAYLOAD_MAX_SIZE, piece * PAYLOAD_MAX_SIZE)


def _snapshot_of(guest: Guest, place: Place, name: str) -> str:
    disk = {disk.image: disk for disk in guest.disks if disk.snapshots}[name]
    return disk_path(place, disk) + SNAPSHOT
