"""The few operations by which the store changes storage, each durable when it returns or not, as it says.

Everything goes through here so that a test can record every step, cut the power after any of them and look at
what is left (tests/powercut). It must not decide anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kos.abi import durable

CHUNK = 1 << 20


class FileSystem:
    """The real one."""

    def make_directory(self, path: Path) -> None:
        """Make a directory and those above it. Durable after `sync_directory` of its parent."""
        path.mkdir(mode=0o755, parents=True, exist_ok=True)

    def write(self, path: Path, chunks: Iterable[bytes]) -> None:
        """Write a new file. Its content is durable when this returns, its name after `sync_directory`."""
        with path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())

    def write_plain(self, path: Path, chunks: Iterable[bytes], *, executable: bool) -> None:
        """Write a new file of an image. Durable only after `sync_tree`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o755 if executable else 0o644), "wb") as file:
            for chunk in chunks:
                file.write(chunk)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file or directory over `target`, at once or not at all."""
        source.replace(target)

    def link(self, path: Path, target: str) -> None:
        """Make a symbolic link that does not exist yet."""
        path.symlink_to(target)

    def remove(self, path: Path) -> None:
        """Remove a file, a link or a whole directory; nothing happens when it is gone already."""
        if path.is_dir() and not path.is_symlink():
            import shutil  # slow to import, and rarely needed

            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Names in this directory are durable when this returns."""
        durable.sync_directory(path)

    def sync_tree(self, path: Path) -> None:
        """Everything below `path` is durable when this returns."""
        for folder, _folders, files in os.walk(path):
            for name in files:
                self._sync_file(Path(folder, name))
            self.sync_directory(Path(folder))

    def write_at(self, path: Path, offset: int, chunks: Iterable[bytes]) -> int:
        """Overwrite a part of a device or file; durable when this returns. The number of bytes."""
        written = 0
        with path.open("r+b", buffering=0) as file:
            file.seek(offset)
            for chunk in chunks:
                written += file.write(chunk) or 0
            os.fsync(file.fileno())
        return written

    def read_back(self, path: Path, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
        """What the storage itself holds: the kernel's copy of it is dropped first."""
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(offset)
            left = size
            while left is None or left > 0:
                chunk = file.read(CHUNK if left is None else min(CHUNK, left))
                if not chunk:
                    return
                if left is not None:
                    left -= len(chunk)
                yield chunk

    def free_bytes(self, path: Path) -> int:
        """Bytes that can still be written below `path`."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    def _sync_file(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
