"""A directory as a plain tar with the same bytes everywhere, and back without trust in the tar.

An app image holds directories and files only: no links, devices, owners or dates. What unpacks one may have
got it from a stranger, so every name and size is checked before a byte is written.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kos.build.errors import BuildError
from kos.build.toolchain import SOURCE_DATE_EPOCH

ENTRIES_MAX = 100_000  # files and directories of one image
UNPACKED_BYTES_MAX = 4 << 30
NAME_MAX = 1024  # bytes of a path inside an image
DEPTH_MAX = 64  # parts of a path inside an image

# What tools and editors leave beside sources; it is no input of a build.
IGNORED_NAMES = frozenset(
    [
        *("__pycache__", ".git", ".hg", ".svn", ".venv", "node_modules", ".DS_Store", ".idea", ".vscode"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
    ]
)
IGNORED_SUFFIXES = (".pyc", ".pyo", ".swp", "~", ".egg-info")


def ignored(name: str) -> bool:
    """Whether a file or directory of that name is never part of an app."""
    return name in IGNORED_NAMES or name.endswith(IGNORED_SUFFIXES)


def walk(directory: Path, skip: Iterable[str] = ()) -> Iterator[tuple[str, Path]]:
    """Every file below, as its name in the tree and its path, in the order of names.

    Args:
        directory: where.
        skip: names of entries directly below `directory` that do not count.

    Raises:
        BuildError: something is neither a file nor a directory, or there are too many.
    """
    found: dict[str, Path] = {}
    left_out = set(skip)
    for place, directories, names in os.walk(directory):
        top = Path(place) == directory
        directories[:] = [d for d in directories if not ignored(d) and not (top and d in left_out)]
        for name in names + [d for d in directories if (Path(place) / d).is_symlink()]:
            path = Path(place, name)
            if ignored(name) or (top and name in left_out):
                continue
            if path.is_symlink() or not path.is_file():
                raise BuildError(
                    "an app holds only plain files", where=str(path), hint="copy what the link leads to"
                )
            found[path.relative_to(directory).as_posix()] = path
            if len(found) > ENTRIES_MAX:
                raise BuildError(f"more than {ENTRIES_MAX} files are too many", where=str(directory))
    yield from sorted(found.items())


def digest(directory: Path, skip: Iterable[str] = ()) -> str:
    """One hash of all names, contents and executable bits below a directory."""
    total = hashlib.sha256()
    for name, path in walk(directory, skip):
        with path.open("rb") as file:
            inner = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{name}\0{_mode(path):o}\0{inner}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def pack(directory: Path, destination: BinaryIO) -> None:
    """Write everything below `directory` as a tar: sorted, owned by root, at a fixed date."""
    members: dict[str, Path | None] = {}
    for name, path in walk(directory):
        members |= {str(parent): None for parent in PurePosixPath(name).parents if str(parent) != "."}
        members[name] = path
    with tarfile.open(fileobj=destination, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, path in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.mtime = SOURCE_DATE_EPOCH
            if path is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                info.size, info.mode = path.stat().st_size, _mode(path)
                with path.open("rb") as file:
                    tar.addfile(info, file)


def unpack(source: Path, directory: Path) -> None:
    """Write what a tar of `pack` holds into an empty directory.

    Raises:
        BuildError: the tar is damaged, or holds what no image holds. What was written by then stays.
    """
    try:
        with tarfile.open(source, mode="r:") as tar:
            _unpack(tar, directory)
    except (tarfile.TarError, EOFError, OverflowError, UnicodeError) as error:
        raise BuildError(f"not a whole tar: {error}", where=str(source)) from None
    except BuildError as error:
        raise BuildError(error.message, where=str(source), hint=error.hint) from None


def _unpack(tar: tarfile.TarFile, directory: Path) -> None:
    seen: set[str] = set()
    room = UNPACKED_BYTES_MAX
    for info in tar:
        check_name(info.name)
        if info.name in seen:
            raise BuildError(f"{info.name!r} is there twice")
        seen.add(info.name)
        if len(seen) > ENTRIES_MAX:
            raise BuildError(f"more than {ENTRIES_MAX} entries are too many")
        path = directory / info.name
        if info.isdir():
            path.mkdir(mode=0o755)
            continue
        if not info.isreg() or info.issparse():
            raise BuildError(f"{info.name!r} is neither a file nor a directory")
        room -= info.size
        if room < 0:
            raise BuildError(f"more than {UNPACKED_BYTES_MAX} bytes are too many")
        content = tar.extractfile(info)
        assert content is not None  # a regular file has content
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o755 if info.mode & 0o100 else 0o644), "wb") as file:
            left = info.size
            while left:
                chunk = content.read(min(left, 1 << 20))
                if not chunk:
                    raise BuildError(f"{info.name!r} ends too early")
                file.write(chunk)
                left -= len(chunk)


def check_name(name: str) -> None:
    """That a name leads to a place inside an image and nowhere else."""
    parts = name.split("/")
    if len(name.encode()) > NAME_MAX or len(parts) > DEPTH_MAX:
        raise BuildError(f"a path of {len(name)} characters is too long")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name or "\\" in name:
        raise BuildError(f"{name!r} is not a path inside an image")
