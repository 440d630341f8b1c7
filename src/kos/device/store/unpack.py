"""Unpack an app image on the device without trust in it: plain files and directories, inside, of bounded
size.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.hints import IO
from kos.device.store.filesystem import CHUNK, FileSystem

ENTRIES_MAX = 100_000
UNPACKED_BYTES_MAX = 4 << 30
NAME_MAX = 1024  # bytes of a path inside an image


def unpack(source: Path, directory: Path, files: FileSystem) -> None:
    """Write what the tar holds into an empty directory.

    Raises:
        KosError: it is damaged, or holds what no image holds. What was written by then stays.
    """
    try:
        with tarfile.open(source, mode="r:") as tar:
            _unpack(tar, directory, files)
    except (tarfile.TarError, EOFError, OverflowError, UnicodeError) as error:
        raise KosError(f"not a whole tar: {error}", where=source.name) from error


def _unpack(tar: tarfile.TarFile, directory: Path, files: FileSystem) -> None:
    seen: set[str] = set()
    room = UNPACKED_BYTES_MAX
    for info in tar:
        parts = info.name.split("/")
        if len(info.name.encode()) > NAME_MAX or "\0" in info.name or {"", ".", ".."} & set(parts):
            raise KosError(f"{info.name!r} is not a path inside an image")
        if info.name in seen or len(seen) >= ENTRIES_MAX:
            raise KosError(f"{info.name!r} is there twice, or is one entry too many")
        seen.add(info.name)
        path = directory / info.name
        if info.isdir():
            files.make_directory(path)
            continue
        room -= info.size
        content = tar.extractfile(info) if info.isreg() and not info.issparse() and room >= 0 else None
        if content is None:
            raise KosError(f"{info.name!r} is neither a file nor a directory, or is too large")
        files.write_plain(path, _chunks(content, info), executable=bool(info.mode & 0o100))


def _chunks(content: IO[bytes], info: tarfile.TarInfo) -> Iterator[bytes]:
    left = info.size
    while left:
        chunk = content.read(min(left, CHUNK))
        if not chunk:
            raise KosError(f"{info.name!r} ends too early")
        left -= len(chunk)
        yield chunk
