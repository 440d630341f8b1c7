"""A file system that records every step, and what storage may hold when the power goes at any of them.

The model is pessimistic: what no flush covered may be there or not, each step by itself, and the last data
that was written may be torn. A flush of a file covers its data, a flush of a directory covers the names in
it. A rename is one step, as on every journalling file system.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kos.device.store.filesystem import FileSystem


@dataclass
class Step:
    """One step: `covers` says which flush makes it durable, `(kind, inode)`."""

    kind: str
    arguments: tuple[Any, ...]
    covers: tuple[str, int] | None = None


@dataclass
class Disk:
    """Inodes: directories are dicts, files bytearrays, links strings. Inode 0 is the top."""

    inodes: dict[int, Any] = field(default_factory=lambda: {0: {}})

    def copy(self) -> Disk:
        return Disk({n: (v.copy() if isinstance(v, dict | bytearray) else v) for n, v in self.inodes.items()})

    def apply(self, step: Step) -> None:
        match step.kind, step.arguments:
            case "create", (inode, value):
                self.inodes[inode] = value.copy() if isinstance(value, dict | bytearray) else value
            case "name", (folder, name, inode):
                self.inodes[folder][name] = inode
            case "unname", (folder, name):
                self.inodes[folder].pop(name, None)
            case "rename", (folder, name, target, new, inode):
                self.inodes[folder].pop(name, None)
                self.inodes[target][new] = inode
            case "data", (inode, offset, data):
                content = self.inodes[inode]
                if len(content) < offset:
                    content.extend(bytes(offset - len(content)))
                content[offset : offset + len(data)] = data

    def write_out(self, folder: Path, inode: int = 0) -> None:
        """Make it real below `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, number in self.inodes[inode].items():
            value, path = self.inodes[number], folder / name
            if isinstance(value, dict):
                self.write_out(path, number)
            elif isinstance(value, str):
                path.symlink_to(value)
            else:
                path.write_bytes(value)


class Recorder(FileSystem):
    """Does everything for real below `top`, and records it.

    Args:
        top: everything below it is on the storage; what is there already is durable.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self.steps: list[Step] = []
        self._next = 1
        self.start = Disk()
        self._scan(top, 0)
        self._live = self.start.copy()

    def _scan(self, folder: Path, inode: int) -> None:
        for path in sorted(folder.iterdir()):
            number = self._number()
            self.start.inodes[inode][path.name] = number
            if path.is_symlink():
                self.start.inodes[number] = str(path.readlink())
            elif path.is_dir():
                self.start.inodes[number] = {}
                self._scan(path, number)
            else:
                self.start.inodes[number] = bytearray(path.read_bytes())

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _do(self, kind: str, *arguments: Any, covers: tuple[str, int] | None = None) -> None:
        step = Step(kind, arguments, covers)
        self._live.apply(step)
        self.steps.append(step)

    def _inode(self, path: Path) -> int:
        inode = 0
        for part in path.relative_to(self.top).parts:
            inode = self._live.inodes[inode][part]
        return inode

    def _create(self, path: Path, value: Any) -> int:
        folder = self._inode(path.parent)
        known = self._live.inodes[folder].get(path.name)
        if known is not None and isinstance(value, bytearray):
            return known
        inode = self._number()
        self._do("create", inode, value, covers=("always", 0))
        self._do("name", folder, path.name, inode, covers=("directory", folder))
        return inode

    def make_directory(self, path: Path) -> None:
        for each in (*reversed(path.parents), path):
            if each.is_relative_to(self.top) and not each.exists():
                self._create(each, {})
        super().make_directory(path)

    def write(self, path: Path, chunks: Iterable[bytes]) -> None:
        inode = self._create(path, bytearray())
        super().write(path, self._data(inode, 0, chunks))
        self._do("flush", covers=("file", inode))

    def write_plain(self, path: Path, chunks: Iterable[bytes], *, executable: bool) -> None:
        inode = self._create(path, bytearray())
        super().write_plain(path, self._data(inode, 0, chunks), executable=executable)

    def write_at(self, path: Path, offset: int, chunks: Iterable[bytes]) -> int:
        inode = self._inode(path)
        written = super().write_at(path, offset, self._data(inode, offset, chunks))
        self._do("flush", covers=("file", inode))
        return written

    def _data(self, inode: int, offset: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._do("data", inode, offset, bytes(chunk), covers=("file", inode))
            offset += len(chunk)
            yield chunk

    def rename(self, source: Path, target: Path) -> None:
        inode = self._inode(source)
        folder, into = self._inode(source.parent), self._inode(target.parent)
        self._do("rename", folder, source.name, into, target.name, inode, covers=("directory", into))
        super().rename(source, target)

    def link(self, path: Path, target: str) -> None:
        self._create(path, target)
        super().link(path, target)

    def remove(self, path: Path) -> None:
        if path.is_symlink() or path.exists():
            self._unname(path)
        super().remove(path)

    def _unname(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            for child in sorted(path.iterdir()):
                self._unname(child)
        folder = self._inode(path.parent)
        self._do("unname", folder, path.name, covers=("directory", folder))

    def sync_directory(self, path: Path) -> None:
        self._do("flush", covers=("directory", self._inode(path)))
        super().sync_directory(path)

    def sync_tree(self, path: Path) -> None:
        for each in sorted([path, *path.rglob("*")]):
            kind = "directory" if each.is_dir() else "file"
            self._do("flush", covers=(kind, self._inode(each)))
        super().sync_tree(path)

    def free_bytes(self, path: Path) -> int:
        return 1 << 30

    def cut(self, after: int, chance: random.Random) -> Disk:
        """What may be left when the power goes after `after` steps."""
        done = self.steps[:after]
        flushed: dict[tuple[str, int], int] = {}
        for number, step in enumerate(done):
            if step.kind == "flush" and step.covers:
                flushed[step.covers] = number
        disk = self.start.copy()
        for number, step in enumerate(done):
            if step.kind == "flush":
                continue
            durable = step.kind == "create" or flushed.get(step.covers or ("", 0), -1) > number
            if durable or chance.random() < 0.5:
                disk.apply(step)
            elif step.kind == "data" and chance.random() < 0.5:
                inode, offset, data = step.arguments
                torn = data[: chance.randrange(len(data) + 1)]
                disk.apply(Step("data", (inode, offset, torn)))
        return disk
