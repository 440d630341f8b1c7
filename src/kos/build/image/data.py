"""What a device's data partition holds when it leaves the workshop: the store with its first generation."""

from __future__ import annotations

from pathlib import Path

from kos.build.image.system import System
from kos.device.store import bootrecord
from kos.device.store.generations import Generation, Part
from kos.device.store.store import Store
from kos.manifest.model import Manifest

STORE = "store"


def fill(
    folder: Path, manifest: Manifest, document: bytes, signatures: dict[str, str], parts: System | None
) -> None:
    """Complete the store in `folder` / store, which has the blobs and images of the system already."""
    store = Store(folder / STORE)
    store.recover()
    sha256 = store.add_manifest(document, signatures)
    first = Generation(
        number=1,
        manifest=sha256,
        release=manifest.release,
        slot=bootrecord.SLOTS[0] if parts else "",
        parts={name: Part(*facts) for name, facts in parts.identities().items()} if parts else {},
    )
    store.put_generation(first)
    store.move_current(1)
    (folder / "apps").mkdir(exist_ok=True)
