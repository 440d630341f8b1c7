"""What a parameter of a command takes, and everything that is not that.

A kind of file makes a good one, and bad ones of its own beside those that are bad for every file.
"""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

HUGE = 1 << 30  # bytes, sparse
SOME = random.Random(2).randbytes(4096)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(64)
EVERY_FILE = ("missing", "folder", "shut", "empty", "truncated", "huge", "endless", "garbage", "png")


@dataclass(frozen=True)
class File:
    """A file that a command reads.

    Attributes:
        suffix: of its name.
        good: its bytes.
        wrong: bytes that are wrong for this kind, by what is wrong with them.
        fine: which of `EVERY_FILE` are good here, such as an empty list.
    """

    suffix: str
    good: Callable[[], bytes]
    wrong: Callable[[], Mapping[str, bytes]] = dict
    fine: tuple[str, ...] = ()
    mode: int = 0o600

    def make(self, place: Path, name: str) -> Path:
        path = place / f"{name}{self.suffix}"
        path.write_bytes(self.good())
        path.chmod(self.mode)
        return path

    def bad(self, place: Path) -> Iterator[Path]:
        contents = {"empty": b"", "truncated": self.good()[:-1], "garbage": SOME, "png": PNG, **self.wrong()}
        for name in (*EVERY_FILE, *self.wrong()):
            if name in self.fine:
                continue
            path = place / f"{name}{self.suffix}"
            match name:
                case "missing":
                    pass
                case "folder":
                    path.mkdir()
                case "shut":
                    path.write_bytes(self.good())
                    path.chmod(0)
                case "huge":
                    with path.open("wb") as file:
                        file.truncate(HUGE)
                    path.chmod(self.mode)
                case "endless":
                    path.symlink_to("/dev/zero")
                case _:
                    path.write_bytes(contents[name])
                    path.chmod(self.mode)
            yield path


@dataclass(frozen=True)
class Folder:
    """A folder that a command reads: `good` fills it, each of `wrong` too, but not well."""

    good: Callable[[Path], object]
    wrong: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)

    def make(self, place: Path, name: str) -> Path:
        path = place / name
        path.mkdir(mode=0o700)
        self.good(path)
        return path

    def bad(self, place: Path) -> Iterator[Path]:
        yield place / "missing"
        (place / "file").write_bytes(SOME)
        yield place / "file"
        for name, fill in {"shut": self.good, "empty": lambda _path: None, **self.wrong}.items():
            path = place / name
            path.mkdir(mode=0o700)
            fill(path)
            if name == "shut":
                path.chmod(0)
            yield path


@dataclass(frozen=True)
class Output:
    """A file or folder that a command makes."""

    fine: tuple[str, ...] = ()

    def make(self, place: Path, name: str) -> Path:
        return place / name

    def bad(self, place: Path) -> Iterator[Path]:
        (place / "in the way").write_text("a file")
        (place / "shut").mkdir(mode=0o500)
        (place / "taken").mkdir()
        (place / "taken/kept").write_text("kept")
        (place / "plain").write_text("a file")
        with closing(socket.socket(socket.AF_UNIX)) as bound:
            bound.bind(os.path.relpath(place / "socket"))
        for name in ("in the way/x", "shut/x", "taken", "n" * 300, "socket", "plain"):
            if name not in self.fine:
                yield place / name


@dataclass(frozen=True)
class Either:
    """One of several kinds."""

    kinds: tuple[File | Folder, ...]

    def make(self, place: Path, name: str) -> Path:
        return self.kinds[0].make(place, name)

    def bad(self, place: Path) -> Iterator[Path]:
        for number, kind in enumerate(self.kinds):
            (place / str(number)).mkdir()
            yield from kind.bad(place / str(number))


@dataclass(frozen=True)
class Text:
    """Words.

    Attributes:
        good: what is right.
        refused: further words that are wrong, beside `STRANGE`.
        free: any text will do; it may be refused, and must not be a bug.
    """

    good: str
    refused: tuple[str, ...] = ()
    free: bool = False


STRANGE = (
    *("", " ", "two words", "../../etc/passwd", "a/b", "-", "é", "x" * 5000),
    *("bell\a\x1b[2J", "nul\0", "line\nbreak", "%00?a=b#c", "\udcff"),
)
Kind = File | Folder | Output | Either | Text


def zipped(*names: str, content: bytes = b"x", method: int = zipfile.ZIP_STORED) -> bytes:
    """An ordinary zip."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return made.getvalue()


def tarred(*members: tuple[str, bytes | tarfile.TarInfo], mode: str = "w") -> bytes:
    """A tar of files, and of members that are something else."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.name = name
            data = content if isinstance(content, bytes) else b""
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    """A member of a tar that is a link, a device or a pipe."""
    member = tarfile.TarInfo()
    member.type, member.linkname = kind, target
    return member


def declaring(archive: bytes, size: int) -> bytes:
    """A zip whose first entry says that it is larger than the file."""
    return archive[:18] + struct.pack("<II", size, size) + archive[26:]
