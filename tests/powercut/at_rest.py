"""A device's disk while the power is off: which system a start from it leads to, and whether that is whole.

It decides nothing itself: the boot record, the store and the choice of a generation are the device's own
code. The file system is repaired by e2fsck and read by debugfs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kos.build import tree
from kos.build.image.run import find, run
from kos.build.manifest_zip import ManifestZip
from kos.device.store import bootrecord, generations
from kos.device.store.generations import Generation
from kos.device.store.store import Store
from kos.device.upgrade.installer import app_images
from kos.manifest import codec

CHUNK = 1 << 20


def partitions(disk: Path) -> dict[str, tuple[int, int]]:
    """Offset and size in bytes of each partition, as sfdisk reads them."""
    table = json.loads(run("sfdisk", "--json", disk))["partitiontable"]["partitions"]
    return {one["name"]: (one["start"] * 512, one["size"] * 512) for one in table}


def files_of(folder: Path) -> dict[str, str]:
    """Every file below a folder, by name, with its hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def images_of(archives: list[Path], folder: Path) -> dict[str, dict[str, str]]:
    """The app images in some archives, each with its files."""
    found = {}
    for archive in archives:
        with ManifestZip(archive) as opened:
            for sha256 in app_images(opened.manifest):
                blob, unpacked = folder / "image.tar", folder / "image"
                with blob.open("wb") as file:
                    opened.copy_blob(sha256, file)
                shutil.rmtree(unpacked, ignore_errors=True)
                unpacked.mkdir()
                tree.unpack(blob, unpacked)
                found[sha256] = files_of(unpacked)
    return found


@dataclass
class AtRest:
    """Looks at disks of one device.

    Attributes:
        places: its partitions.
        images: what app images hold.
        kept: file below the apps' data → its content, which must be there.
        scratch: an empty folder.
    """

    places: Mapping[str, tuple[int, int]]
    images: Mapping[str, dict[str, str]]
    kept: Mapping[str, bytes]
    scratch: Path

    def start(self, disk: Path) -> Generation:
        """The generation that a start runs; fails the test when something that it needs is not whole."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        store = self._store(disk)
        slot, _ = self._record(disk).take()
        for _attempt in range(2):
            choice = generations.choose(store.generations(), store.current(), slot, bootrecord.TRIES)
            for changed in choice.changed.values():
                store.put_generation(changed)
            if not choice.reboot_to:
                break
            slot = choice.reboot_to
        generation = store.generations()[choice.run]
        assert generation.slot == slot
        for name, part in generation.parts.items():
            assert self._digest(disk, f"kos-{name}-{slot}", part.size) == part.sha256, (
                f"{name} of slot {slot}"
            )
        for sha256 in app_images(codec.load(store.manifest(generation))):
            assert files_of(store.image(sha256)) == self.images[sha256]
        for name, content in self.kept.items():
            assert (self.scratch / "apps" / name).read_bytes() == content
        return generation

    def _store(self, disk: Path) -> Store:
        data = self.scratch / "data.img"
        _extract(disk, *self.places["kos-data"], data)
        done = subprocess.run([find("e2fsck"), "-fy", str(data)], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stdout
        for folder in ("store", "apps"):
            command = [find("debugfs"), "-R", f"rdump /{folder} {self.scratch}", str(data)]
            subprocess.run(command, capture_output=True, check=True)
        store = Store(self.scratch / "store")
        store.recover()
        return store

    def _record(self, disk: Path) -> bootrecord.BootRecord:
        start, _ = self.places[bootrecord.PARTITION]
        with disk.open("rb") as file:
            copies = [
                os.pread(file.fileno(), bootrecord.COPY_SIZE, start + offset)
                for offset in bootrecord.COPY_OFFSETS
            ]
        return bootrecord.newest(copies)[0]

    def _digest(self, disk: Path, partition: str, size: int) -> str:
        """SHA-256 of the first bytes of a partition."""
        digest, (at, _) = hashlib.sha256(), self.places[partition]
        with disk.open("rb") as file:
            file.seek(at)
            while chunk := file.read(min(CHUNK, size)):
                digest.update(chunk)
                size -= len(chunk)
        return digest.hexdigest()


def _extract(disk: Path, start: int, size: int, target: Path) -> None:
    """Copy a part of a disk; what holds zeros becomes a hole."""
    with disk.open("rb") as source, target.open("wb") as out:
        out.truncate(size)
        for at in range(0, size, CHUNK):
            block = os.pread(source.fileno(), min(CHUNK, size - at), start + at)
            if block.count(0) != len(block):
                os.pwrite(out.fileno(), block, at)
