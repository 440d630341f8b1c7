"""Disk images: a GPT with named partitions, filled from files. Sparse, made without root and without
mounting.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from kos.build.image.run import EPOCH, run

SECTOR = 512
ALIGN = 1 << 20
_NAMESPACE = uuid.UUID("6f1b8c0e-6c0f-4a53-8f7e-2c8a1f6f4b10")
TYPES = {"fat": "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "linux": "0FC63DAF-8483-4772-8E79-3D69D8477DE4"}


@dataclass(frozen=True)
class Partition:
    """One partition: `size` in bytes (a multiple of 1 MiB), `content` a file of at most that size, or
    none.
    """

    name: str
    size: int
    kind: str = "linux"
    content: Path | None = None
    bootable: bool = False


@dataclass(frozen=True)
class Raw:
    """Bytes at a fixed place outside every partition, such as a boot loader."""

    offset: int
    content: Path


@dataclass(frozen=True)
class Layout:
    """A disk: partitions in order from `start` (bytes), and raw areas before them."""

    name: str
    partitions: list[Partition]
    raw: list[Raw] = field(default_factory=list)
    start: int = ALIGN

    def offsets(self) -> dict[str, int]:
        """Byte offset of each partition."""
        offsets, at = {}, self.start
        for partition in self.partitions:
            offsets[partition.name] = at
            at += partition.size
        return offsets

    @property
    def size(self) -> int:
        """Bytes of the whole disk, with room for the second GPT."""
        return self.start + sum(partition.size for partition in self.partitions) + ALIGN

    def number(self, name: str) -> int:
        """Number of a partition, from 1."""
        return 1 + [partition.name for partition in self.partitions].index(name)

    def sfdisk_script(self) -> str:
        """What `sfdisk` reads; every identifier follows from names, so that it is the same each time."""
        lines = ["label: gpt", f"label-id: {uuid.uuid5(_NAMESPACE, self.name)}", f"first-lba: {34}"]
        for partition in self.partitions:
            identity = uuid.uuid5(_NAMESPACE, f"{self.name}/{partition.name}")
            attributes = ', attrs="LegacyBIOSBootable"' if partition.bootable else ""
            lines.append(
                f"start={self.offsets()[partition.name] // SECTOR}, size={partition.size // SECTOR}, "
                f'type={TYPES[partition.kind]}, uuid={identity}, name="{partition.name}"{attributes}'
            )
        return "\n".join(lines) + "\n"


def write(layout: Layout, path: Path) -> None:
    """Make the disk image at `path`."""
    with path.open("wb") as image:
        image.truncate(layout.size)
    run("sfdisk", "--quiet", path, stdin=layout.sfdisk_script())
    offsets = layout.offsets()
    for partition in layout.partitions:
        if partition.content:
            copy_into(partition.content, path, offsets[partition.name])
    for raw in layout.raw:
        copy_into(raw.content, path, raw.offset)


def copy_into(source: Path, image: Path, offset: int) -> None:
    """Copy a file into the image; runs of zeros stay holes."""
    zeros = bytes(ALIGN)
    with source.open("rb") as reader, image.open("r+b") as writer:
        while block := reader.read(ALIGN):
            if block != zeros[: len(block)]:
                writer.seek(offset)
                writer.write(block)
            offset += len(block)


def ext4(path: Path, size: int, label: str, tree: Path | None = None) -> None:
    """An ext4 file system of `size` bytes that holds `tree`, made without mounting; owned by root."""
    identity = uuid.uuid5(_NAMESPACE, f"ext4/{label}")
    seed = hashlib.sha256(label.encode()).hexdigest()[:8]
    with path.open("wb") as image:
        image.truncate(size)
    extended = f"hash_seed={uuid.uuid5(_NAMESPACE, seed)},root_owner=0:0,nodiscard"
    extended += ",lazy_itable_init=1,lazy_journal_init=1"
    options = ["-F", "-q", "-t", "ext4", "-L", label, "-U", str(identity), "-E", extended, "-m", "1"]
    content = ["-d", str(tree)] if tree else []
    fixed = {"E2FSPROGS_FAKE_TIME": str(EPOCH)}  # every time stamp that mke2fs itself writes
    run("mke2fs", *options, *content, path, environ=fixed)
    if tree:
        # What it copied has the owners and times of the files here: an ordinary user can give none to root,
        # and nobody can set when one was changed.
        run("debugfs", "-w", "-f", "-", path, stdin=_one_owner_and_time(tree), environ=fixed)


def _one_owner_and_time(tree: Path) -> str:
    """debugfs commands that give every file of `tree` to root, and the image's time."""
    lines = [f"set_current_time @{EPOCH}"]
    for path in [tree, *sorted(tree.rglob("*"))]:
        name = str(path.relative_to(tree))
        place = '"/' + ("" if name == "." else name.replace('"', '""')) + '"'
        lines += [f"set_inode_field {place} {whose} 0" for whose in ("uid", "gid")]
        for what in ("atime", "ctime", "mtime"):
            lines += [f"set_inode_field {place} {what} @{EPOCH}", f"set_inode_field {place} {what}_extra 0"]
    return "\n".join(lines) + "\n"


def fat(path: Path, size: int, label: str, files: dict[str, bytes | Path]) -> None:
    """A FAT file system with `files` (path in it → content), in the order of their names."""
    with path.open("wb") as image:
        image.truncate(size)
    run("mkfs.vfat", "--invariant", "-n", label, path)
    folders = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."})
    for folder in folders:
        run("mmd", "-i", path, f"::{folder}")
    for name, content in sorted(files.items()):
        source = path.with_suffix(".part")
        source.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        os.utime(source, (EPOCH, EPOCH))
        run("mcopy", "-m", "-i", path, source, f"::{name}")
        source.unlink()
