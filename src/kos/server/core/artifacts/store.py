"""The blob store on disk. A blob gets its name only when all of it is there and its digest is right."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from kos.abi.errors import KosError
from kos.server.core.problems import NotFound, TooLarge

DIGEST = re.compile(r"[0-9a-f]{64}")
BLOB_MAX = 4 << 30  # bytes of one blob
CHUNK = 1 << 20


class BlobStore:
    """`<folder>/<two digits>/<sha256>`; drafts beside them under `drafts/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drafts = folder / "drafts"
        self.drafts.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        if not DIGEST.fullmatch(digest):
            raise KosError("not a SHA-256 in hex")
        return self.folder / digest[:2] / digest

    def open_path(self, digest: str) -> Path:
        """The file of a blob that is there. Raises NotFound."""
        path = self.path(digest)
        if not path.is_file():
            raise NotFound("no such artifact")
        return path

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def read(self, digest: str) -> bytes:
        """A small blob: a manifest or an overlay. Raises NotFound."""
        return self.open_path(digest).read_bytes()

    def draft(self) -> Path:
        """A fresh name for something that is being received; the caller removes it."""
        return self.drafts / secrets.token_hex(12)

    def put(
        self, chunks: Iterable[bytes], digest: str | None = None, limit: int = BLOB_MAX
    ) -> tuple[str, int]:
        """Store a blob; says its digest and size. The disk is as before when this raises.

        Raises:
            TooLarge: more than `limit` bytes.
            KosError: the digest is not `digest`.
        """
        draft, hasher, size = self.draft(), hashlib.sha256(), 0
        try:
            with draft.open("wb") as file:
                for chunk in chunks:
                    size += len(chunk)
                    if size > limit:
                        raise TooLarge(f"more than {limit} bytes")
                    hasher.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            found = hasher.hexdigest()
            if digest is not None and found != digest:
                raise KosError(f"digest is {found}, expected {digest}")
            path = self.path(found)
            path.parent.mkdir(exist_ok=True)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return found, size

    def adopt(self, draft: Path, digest: str) -> None:
        """Give a draft whose digest was checked its name. The draft is gone afterwards."""
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        path = self.path(digest)
        path.parent.mkdir(exist_ok=True)
        draft.replace(path)

    def files(self) -> Iterator[Path]:
        """Every file of the store: blobs by their digest, differences by two, drafts by neither."""
        for folder in self.folder.iterdir():
            if folder.is_dir():
                yield from folder.iterdir()
