"""What rules read of a guest: the configuration of an app that is the service `vmm`."""

from __future__ import annotations

from dataclasses import dataclass

from kos.assurance.settings import items, table
from kos.manifest import App

DISKS_MAX = 5  # virtio-blk devices of a microVM


@dataclass(frozen=True)
class Disk:
    """A file-backed disk: the image's name, and whether the guest may only read it."""

    image: str
    readonly: bool


def disks(app: App) -> list[Disk]:
    """The disks in `{"disks": [{"image": NAME, "readonly": true | false}]}`; without `readonly`, writable."""
    entries = map(table, items(app.config.get("disks")))
    return [Disk(str(entry.get("image")), entry.get("readonly") is True) for entry in entries]


def guest_memory(app: App) -> int | None:
    """Bytes of the guest's RAM: `{"memory": BYTES}`; None where it is not said."""
    memory = app.config.get("memory")
    return memory if isinstance(memory, int) and not isinstance(memory, bool) else None
