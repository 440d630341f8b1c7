"""Small file operations that a crash or a second process cannot leave half done."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kos.build.errors import BuildError

_CHUNK = 1 << 20


def nearest(folder: Path) -> Path:
    """A folder, or the first above it that is there."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def check_place(path: Path) -> None:
    """That a file can be made there, which whoever works long for it asks first.

    Raises:
        BuildError: something that is no file is there, such as a device, which must not be replaced.
        OSError: it cannot be made.
    """
    if path.exists() and not path.is_file():
        raise BuildError("expected a file or nothing, found something else", where=str(path))
    try:
        with tempfile.TemporaryFile(dir=nearest(path.parent)):
            pass
    except OSError as error:
        # The name of the trial says nothing to anybody.
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def atomic_file(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` when the block ends well; else `path` stays as it was."""
    check_place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            os.fchmod(file.fileno(), mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old one or the whole new one."""
    with atomic_file(path, mode) as file:
        file.write(data)


@contextmanager
def temporary_directory(parent: Path) -> Iterator[Path]:
    """A directory beside what it will become, removed at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A scratch directory that becomes `path` when the block ends well; one that exists by then stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield scratch
        try:
            scratch.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def cache_directory() -> Path:
    """Where everything that can be made again is kept: `$XDG_CACHE_HOME/kos`, usually `~/.cache/kos`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kos"
