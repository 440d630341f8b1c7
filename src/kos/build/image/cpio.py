"""An initramfs: a `newc` cpio archive with fixed times, owners and inode numbers (Linux,
buffer-format.rst).
"""

from __future__ import annotations

import stat
from dataclasses import dataclass

from kos.build.image.run import EPOCH

_ALIGN = 4
CONSOLE = (5, 1)  # major, minor of /dev/console (Linux, devices.txt)


@dataclass(frozen=True)
class Entry:
    """One entry of the archive; `mode` holds the type too, `device` is (major, minor) of a node."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(path: str) -> Entry:
    return Entry(path, stat.S_IFDIR | 0o755)


def file(path: str, data: bytes, mode: int = 0o644) -> Entry:
    return Entry(path, stat.S_IFREG | mode, data)


def link(path: str, target: str) -> Entry:
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, device: tuple[int, int]) -> Entry:
    return Entry(path, stat.S_IFCHR | 0o600, device=device)


def _record(inode: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    numbers = (inode, entry.mode, 0, 0, links, EPOCH, len(entry.data), 0, 0, *entry.device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name
    return _padded(head) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGN)


def archive(entries: list[Entry]) -> bytes:
    """The archive, in the order given: a folder must come before what is in it."""
    trailer = Entry("TRAILER!!!", 0)
    return b"".join(_record(inode, entry) for inode, entry in enumerate([*entries, trailer], start=1))
