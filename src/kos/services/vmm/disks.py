"""The guest's writable disks: made once, of the image's content where it has one, and kept from then on."""

from __future__ import annotations

import os
import shutil

from kos.services.vmm.command import Place, disk_path
from kos.services.vmm.config import Guest


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
