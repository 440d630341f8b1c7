"""Built images, found again by the hash of everything that went into them.

The cache holds nothing that cannot be made again: removing it costs time, never a result. Several builds may
use it at one time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kos.build import files, tree

FORMAT = 1  # grows when images are made in another way from the same inputs


@dataclass(frozen=True)
class Blob:
    """An image: a file, its SHA-256 in hexadecimal, its size in bytes."""

    path: Path
    sha256: str
    size: int


class Cache:
    """A directory of the user's own.

    Attributes:
        root: that directory; other parts keep what they like in folders of it.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or files.cache_directory()

    @contextmanager
    def scratch(self, *identity: str) -> Iterator[Path]:
        """A directory that stays between builds, for what compilers use again; one build at a time has it."""
        name = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:24]
        place = self.root / "scratch" / name
        place.mkdir(parents=True, exist_ok=True)
        with (self.root / "scratch" / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield place

    def image(self, inputs: dict[str, str], make: Callable[[Path], None]) -> tuple[Blob, bool]:
        """The image of these inputs, and whether it had to be made.

        Args:
            inputs: everything that the image depends on.
            make: fills an empty directory with what the image holds.
        """
        text = json.dumps({"format": FORMAT, **inputs}, sort_keys=True)
        record = self.root / "images" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
        known = self._known(record)
        if known:
            return known, False
        record.parent.mkdir(parents=True, exist_ok=True)
        with files.temporary_directory(self.root / "images") as place:
            make(place / "tree")
            packed = place / "image.tar"
            with packed.open("wb") as out:
                tree.pack(place / "tree", out)
            sha256, size = files.sha256_of(packed), packed.stat().st_size
            blob = self.root / "blobs" / sha256
            blob.parent.mkdir(exist_ok=True)
            packed.replace(blob)
        files.write_atomic(record, json.dumps({"sha256": sha256, "size": size}).encode())
        return Blob(blob, sha256, size), True

    def _known(self, record: Path) -> Blob | None:
        """What a record says, if its blob is whole: a power cut may leave either cut short."""
        try:
            said = json.loads(record.read_bytes())
            blob = Blob(self.root / "blobs" / said["sha256"], said["sha256"], said["size"])
            whole = os.stat(blob.path).st_size == blob.size and files.sha256_of(blob.path) == blob.sha256
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return blob if whole else None
