"""What rules read of a guest: the configuration of an app that is the service `vmm`."""

from __future__ import annotations

from dataclasses import dataclass

from kos.assurance.settings import items, table
from kos.manifest import App, limits

DISKS_MAX = limits.VM_DISKS_MAX


@dataclass(frozen=True)
class Disk:
    """A file-backed disk.

    Attributes:
        image: its name.
        shared_writable: the guest writes to the image itself, not to a copy in its app's own data.
    """

    image: str
    shared_writable: bool


def disks(app: App) -> list[Disk]:
    """The disks in `{"disks": [{"image": NAME, "readonly": true | false, "size": BYTES}]}`."""
    entries = map(table, items(app.config.get("disks")))
    return [
        Disk(str(entry.get("image")), entry.get("readonly") is not True and not entry.get("size"))
        for entry in entries
    ]


def guest_memory(app: App) -> int | None:
    """Bytes of the guest's RAM: `{"memory": BYTES}`; None where it is not said."""
    memory = app.config.get("memory")
    return memory if isinstance(memory, int) and not isinstance(memory, bool) else None
