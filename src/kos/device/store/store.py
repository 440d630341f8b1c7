"""The store: blobs by their hash, unpacked images, manifests, generations and the current link.

    blobs/sha256/<hex>      what updates brought
    images/<hex>/           app images, unpacked
    manifests/<hex>.json    and <hex>.signatures.json
    generations/N/          record.json: what it is and what became of it
    current                 a link to generations/N

Each change is ordered so that a power cut at any step leaves the old or the new generation whole. What a cut
left half done is recognised by its name (it starts with `.part-`) and cleared away by `recover`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from kos.abi.digest import sha256_hex
from kos.abi.errors import KosError
from kos.abi.hints import TYPE_CHECKING
from kos.device.store import generations
from kos.device.store.filesystem import FileSystem
from kos.device.store.generations import Generation

if TYPE_CHECKING:
    import hashlib

PART = ".part-"
_FOLDERS = ("blobs/sha256", "images", "manifests", "generations")
SIGNATURES_MAX = 1 << 20  # bytes of all signatures of a manifest


class Store:
    """A store in a folder."""

    def __init__(self, root: Path, files: FileSystem | None = None) -> None:
        self.root = root
        self.files = files or FileSystem()

    def recover(self) -> None:
        """Make what is missing and clear away what a power cut left half done."""
        for folder in _FOLDERS:
            self.files.make_directory(self.root / folder)
            self._clear(self.root / folder)
        self._clear(self.root)

    def _clear(self, folder: Path) -> None:
        for name in os.listdir(folder):
            if name.startswith(PART):
                self.files.remove(folder / name)

    # --- blobs ----------------------------------------------------------------------------------------
    def blob(self, sha256: str) -> Path:
        return self.root / "blobs/sha256" / sha256

    def image(self, sha256: str) -> Path:
        return self.root / "images" / sha256

    def missing(self, blobs: Mapping[str, int]) -> dict[str, int]:
        """Those that are not here, with their sizes."""
        return {name: size for name, size in sorted(blobs.items()) if not self._has(name, size)}

    def _has(self, sha256: str, size: int) -> bool:
        try:
            return self.blob(sha256).stat().st_size == size
        except FileNotFoundError:
            return False

    def add_blob(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        """Take in a blob: write it, read it back from the storage, and only then give it its name.

        Raises:
            KosError: the bytes are not those that the hash promises, on the way or on the storage.
        """
        part = self.root / "blobs/sha256" / f"{PART}{sha256}"
        try:
            self.files.write(part, _checked(chunks, sha256, size))
            found = _sha256()
            for chunk in self.files.read_back(part):
                found.update(chunk)
            if found.hexdigest() != sha256:
                raise KosError(f"the storage gave back other bytes than were written to blob {sha256[:12]}")
        except BaseException:
            self.files.remove(part)
            raise
        self.files.rename(part, self.blob(sha256))
        self.files.sync_directory(part.parent)

    def unpack_images(self, wanted: Iterable[str]) -> None:
        """Unpack app images that are not unpacked yet."""
        for sha256 in sorted(wanted):
            if self.image(sha256).is_dir():
                continue
            part = self.root / "images" / f"{PART}{sha256}"
            self.files.remove(part)
            self.files.make_directory(part)
            from kos.device.store.unpack import unpack  # brings `tarfile`: not when a device starts

            unpack(self.blob(sha256), part, self.files)
            self.files.sync_tree(part)
            self.files.rename(part, self.image(sha256))
        self.files.sync_directory(self.root / "images")

    # --- manifests and generations --------------------------------------------------------------------
    def add_manifest(self, manifest: bytes, signatures: Mapping[str, str]) -> str:
        """Keep a manifest and its signatures; its SHA-256."""
        sha256 = sha256_hex(manifest)
        folder = self.root / "manifests"
        for name, data in (
            (f"{sha256}.signatures.json", json.dumps(dict(signatures), sort_keys=True).encode()),
            (f"{sha256}.json", manifest),
        ):
            self._write(folder / name, data)
        return sha256

    def manifest(self, generation: Generation) -> bytes:
        """The manifest of a generation, checked against its hash.

        Raises:
            KosError: it is gone or damaged.
        """
        path = self.root / "manifests" / f"{generation.manifest}.json"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise KosError(f"the manifest cannot be read: {error.strerror}", where=str(path)) from error
        if sha256_hex(data) != generation.manifest:
            raise KosError("the manifest is damaged", where=str(path))
        return data

    def generations(self) -> dict[int, Generation]:
        """Every generation whose record can be read, by number. A damaged one must not keep the others from
        being started.
        """
        found = {}
        for number, path in self._numbered():
            record = path / "record.json"
            try:
                found[number] = generations.load(record.read_bytes(), str(record))
            except (KosError, OSError):
                continue
        return found

    def next_number(self) -> int:
        """A number that no generation has had, whether its record can be read or not."""
        return max((number for number, _path in self._numbered()), default=0) + 1

    def _numbered(self) -> list[tuple[int, Path]]:
        paths = (self.root / "generations").iterdir()
        return [(int(path.name), path) for path in paths if path.name.isdecimal()]

    def current(self) -> int:
        """The number that the current link names; 0 where there is none."""
        try:
            name = os.readlink(self.root / "current").rpartition("/")[2]
        except OSError:  # there is none, or something else has its name
            return 0
        return int(name) if name.isdecimal() else 0

    def put_generation(self, generation: Generation) -> None:
        """Write a generation's record, new or changed."""
        folder = self.root / "generations" / str(generation.number)
        if folder.is_dir():
            self._write(folder / "record.json", generation.dump())
            return
        part = folder.with_name(f"{PART}{generation.number}")
        self.files.remove(part)
        self.files.make_directory(part)
        self.files.write(part / "record.json", [generation.dump()])
        self.files.sync_directory(part)
        self.files.rename(part, folder)
        self.files.sync_directory(folder.parent)

    def move_current(self, number: int) -> None:
        """Point the current link at a generation, at once or not at all."""
        part = self.root / f"{PART}current"
        self.files.remove(part)
        self.files.link(part, f"generations/{number}")
        self.files.rename(part, self.root / "current")
        self.files.sync_directory(self.root)

    def _write(self, path: Path, data: bytes) -> None:
        part = path.with_name(f"{PART}{path.name}")
        self.files.write(part, [data])
        self.files.rename(part, path)
        self.files.sync_directory(path.parent)

    # --- garbage --------------------------------------------------------------------------------------
    def collect(self, blobs_of: Mapping[int, Iterable[str]]) -> list[str]:
        """Remove every generation but those that `blobs_of` names, then what only they needed.

        `blobs_of` names the app images of each generation that is kept. The answer is the names of what went.
        """
        known = self.generations()
        kept = set(blobs_of)
        gone = [path for number, path in sorted(self._numbered()) if number not in kept]
        manifests = {known[number].manifest for number in kept}
        images = {sha256 for number in kept for sha256 in blobs_of[number]}
        for folder, wanted in (("manifests", manifests), ("images", images), ("blobs/sha256", images)):
            for path in sorted((self.root / folder).iterdir()):
                if path.name.split(".")[0] not in wanted:
                    gone.append(path)
        for path in gone:
            # A cut in the middle of a directory must not leave half of it under a name that means all of it.
            part = path.with_name(f"{PART}{path.name}")
            self.files.remove(part)
            self.files.rename(path, part)
            # No record may outlive what it names.
            self.files.sync_directory(path.parent)
            self.files.remove(part)
        return [str(path.relative_to(self.root)) for path in gone]


def _checked(chunks: Iterable[bytes], sha256: str, size: int) -> Iterable[bytes]:
    """The chunks, while they are counted and hashed; an error at the end when they are not what was
    promised.
    """
    digest, count = _sha256(), 0
    for chunk in chunks:
        count += len(chunk)
        if count > size:
            raise KosError(f"blob {sha256[:12]} is longer than the {size} bytes that the manifest says")
        digest.update(chunk)
        yield chunk
    if count != size or digest.hexdigest() != sha256:
        raise KosError(
            f"blob {sha256[:12]} arrived damaged: {count} of {size} bytes, {digest.hexdigest()[:12]}"
        )


def _sha256() -> hashlib._Hash:
    import hashlib  # loads OpenSSL: for what is large, not when a device starts

    return hashlib.sha256()
