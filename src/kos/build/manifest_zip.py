"""`manifest.zip`: a manifest, its signatures and the blobs that it names, in one file.

There is exactly one way to write given contents: entries stored, sorted, without dates or extras. The reader
accepts nothing else, so no other program can see something different in the same bytes. Blobs are checked
while they are read. Signatures are carried, not judged: that is `kos.keys`.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from kos.build import files
from kos.build.errors import BuildError
from kos.manifest import Manifest, codec, limits
from kos.manifest.images import BuiltImage, SourceImage

ARCHIVE_BYTES_MAX = (1 << 32) - 1  # what a zip can hold without its 64-bit extension
BLOBS_MAX = limits.APPS_MAX + 2  # and the device's own parts
SIGNATURES_MAX = 64
SIGNATURE_BYTES_MAX = 64 << 10

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION, _DATE = 20, 0x21  # 1980-01-01, the first day that a zip can say
_ATTRIBUTES = 0o100644 << 16
_UNIX = 3 << 8
_CHUNK = 1 << 20
_MANIFEST = "manifest.json"
_SIGNATURE = re.compile(r"signatures/([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.json")
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_NAME_MAX = 128
_REBUILD = "build it again with kos-tool manifest; no other program may change a manifest.zip"


@dataclass(frozen=True)
class _Entry:
    name: str
    crc: int
    size: int
    offset: int

    def local(self) -> bytes:
        name = self.name.encode()
        return _LOCAL.pack(
            b"PK\3\4", _VERSION, 0, 0, 0, _DATE, self.crc, self.size, self.size, len(name), 0
        ) + name  # fmt: skip

    def central(self) -> bytes:
        name = self.name.encode()
        return _CENTRAL.pack(
            b"PK\1\2", _UNIX | _VERSION, _VERSION, 0, 0, 0, _DATE, self.crc, self.size, self.size,
            len(name), 0, 0, 0, 0, _ATTRIBUTES, self.offset,
        ) + name  # fmt: skip

    @property
    def data(self) -> int:
        return self.offset + _LOCAL.size + len(self.name)

    @property
    def end(self) -> int:
        return self.data + self.size


def _directory(entries: list[_Entry], offset: int) -> bytes:
    central = b"".join(entry.central() for entry in entries)
    count = len(entries)
    return central + _END.pack(b"PK\5\6", 0, 0, count, count, len(central), offset, 0)


def blobs_of(manifest: Manifest) -> dict[str, int]:
    """SHA-256 and size of everything that a built manifest names."""
    images = [app.image for app in manifest.apps.values()]
    for name, app in manifest.apps.items():
        if isinstance(app.image, SourceImage):
            raise BuildError(f"app {name!r} is not built", where=app.where)
    blobs = {image.sha256: image.size for image in images if isinstance(image, BuiltImage)}
    return blobs | {part.sha256: part.size for part in manifest.parts.values()}


def write(
    path: Path, manifest: Manifest, blobs: Mapping[str, Path], signatures: Mapping[str, bytes] | None = None
) -> None:
    """Write a `manifest.zip`; on an error the old file, if any, stays as it was.

    Args:
        path: the archive to write.
        manifest: as built: its images name blobs.
        blobs: SHA-256 → file, at least those that the manifest names.
        signatures: name → document.
    """
    named = {sha256: blobs[sha256] for sha256 in blobs_of(manifest)}
    write_archive(path, _MANIFEST, codec.dump(manifest), named, signatures or {})


def write_archive(
    path: Path, name: str, document: bytes, blobs: Mapping[str, Path], signatures: Mapping[str, bytes]
) -> None:
    """Write an archive of this form: a document called `name`, its signatures, the blobs that it names."""
    sources: list[tuple[str, bytes | Path]] = [(name, document)]
    sources += [(f"signatures/{key}.json", data) for key, data in sorted(signatures.items())]
    sources += [(f"blobs/sha256/{sha256}", blobs[sha256]) for sha256 in sorted(blobs)]
    with files.atomic_file(path) as out:
        entries: list[_Entry] = []
        for entry_name, source in sources:
            entry = _write_entry(out, entry_name, source)
            entries.append(entry)
            if entry.end > ARCHIVE_BYTES_MAX:
                raise BuildError(f"more than {ARCHIVE_BYTES_MAX} bytes do not fit", where=str(path))
        out.write(_directory(entries, out.tell()))


def _write_entry(out: BinaryIO, name: str, source: bytes | Path) -> _Entry:
    """The data first, then the header before it: its checksum is known only now."""
    start = _Entry(name, 0, 0, out.tell())
    out.seek(start.data)
    digest, crc, size = hashlib.sha256(), 0, 0
    for chunk in [source] if isinstance(source, bytes) else _chunks(source):
        digest.update(chunk)
        crc = zlib.crc32(chunk, crc)
        size += len(chunk)
        out.write(chunk)
    blob = _BLOB.fullmatch(name)
    if blob and blob[1] != digest.hexdigest():
        raise BuildError(
            f"the blob is not {blob[1]}", where=str(source), hint="the build cache is damaged: remove it"
        )
    entry = _Entry(name, crc, size, start.offset)
    out.seek(entry.offset)
    out.write(entry.local())
    out.seek(entry.end)
    return entry


def _chunks(path: Path) -> Iterable[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


class Archive:
    """An archive of this form that was read and found to be in order; its blobs are checked as they are read.

    Attributes:
        document: its first entry, as stored, which is what signatures are over.
        signatures: name → document, not judged.
        blobs: SHA-256 → size in bytes.
    """

    NAME = _MANIFEST  # of the first entry
    DOCUMENT_MAX = limits.MANIFEST_BYTES_MAX

    def __init__(self, path: Path) -> None:
        """
        Raises:
            BuildError: not a file that `write` could have written.
            ManifestError: its manifest is wrong.
        """
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise BuildError(
                f"cannot be read: {error.strerror}", where=str(path), hint="make one with kos-tool manifest"
            ) from None
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _fail(self, message: str) -> BuildError:
        return BuildError(message, where=str(self.path), hint=_REBUILD)

    def _read(self) -> None:
        length = self._file.seek(0, 2)
        if length > ARCHIVE_BYTES_MAX:
            raise self._fail(f"{length} bytes are too many, at most {ARCHIVE_BYTES_MAX}")
        self._entries = self._scan(length)
        names = list(self._entries)
        blobs = [m[1] for name in names if (m := _BLOB.fullmatch(name))]
        signatures = {m[1]: name for name in names if (m := _SIGNATURE.fullmatch(name))}
        expected = [
            self.NAME,
            *(signatures[s] for s in sorted(signatures)),
            *(f"blobs/sha256/{b}" for b in sorted(blobs)),
        ]
        if names != expected:
            strange = next((a for a, b in zip(names, [*expected, ""], strict=False) if a != b), names[-1])
            raise self._fail(f"{strange!r} does not belong in a manifest.zip, or not there")
        if len(signatures) > SIGNATURES_MAX:
            raise self._fail(f"{len(signatures)} signatures are too many, at most {SIGNATURES_MAX}")
        self.document = self._small(self.NAME, self.DOCUMENT_MAX)
        self.signatures = {key: self._small(name, SIGNATURE_BYTES_MAX) for key, name in signatures.items()}
        self.blobs = self._named()
        found = {sha256: self._entries[f"blobs/sha256/{sha256}"].size for sha256 in blobs}
        if found != self.blobs:
            wrong = sorted(set(found.items()) ^ set(self.blobs.items()))[0][0]
            raise self._fail(f"blob {wrong} is missing, of another size, or not named by the manifest")

    def _named(self) -> Mapping[str, int]:
        """The blobs that the document names, once it was found to be in order."""
        raise NotImplementedError

    def _scan(self, length: int) -> dict[str, _Entry]:
        """Walk the entries from the start; the directory at the end must then be what they say."""
        entries: dict[str, _Entry] = {}
        offset = 0
        while True:
            self._file.seek(offset)
            head = self._file.read(_LOCAL.size)
            if head[:4] != b"PK\3\4":
                break
            if len(head) < _LOCAL.size:
                raise self._fail("it ends in the middle of an entry")
            crc, size, _, name_size = _LOCAL.unpack(head)[6:10]
            name = self._file.read(min(name_size, _NAME_MAX)).decode("ascii", "replace")
            entry = _Entry(name, crc, size, offset)
            if entry.local() != head + name.encode() or entry.end > length:
                raise self._fail(f"entry {name[:80]!r} is damaged, cut short, or was not written by kos-tool")
            if name in entries or len(entries) > BLOBS_MAX + SIGNATURES_MAX:
                raise self._fail(f"entry {name[:80]!r} is there twice, or there are too many")
            entries[name] = entry
            offset = entry.end
        directory = _directory(list(entries.values()), offset)
        self._file.seek(offset)
        if not entries or self._file.read(len(directory) + 1) != directory:
            raise self._fail("not a whole manifest.zip: what its directory lists is not what it holds")
        return entries

    def _small(self, name: str, limit: int) -> bytes:
        entry = self._entries[name]
        if entry.size > limit:
            raise self._fail(f"{name} has {entry.size} bytes, at most {limit}")
        self._file.seek(entry.data)
        data = self._file.read(entry.size)
        if zlib.crc32(data) != entry.crc:
            raise self._fail(f"{name} is damaged: its checksum is wrong")
        return data

    def copy_blob(self, sha256: str, destination: BinaryIO) -> None:
        """Write one blob's bytes; on an error what was written must be thrown away."""
        entry = self._entries[f"blobs/sha256/{sha256}"]
        self._file.seek(entry.data)
        digest, left = hashlib.sha256(), entry.size
        while left:
            chunk = self._file.read(min(left, _CHUNK))
            if not chunk:
                raise self._fail(f"blob {sha256} is cut short")
            digest.update(chunk)
            destination.write(chunk)
            left -= len(chunk)
        if digest.hexdigest() != sha256:
            raise self._fail(f"blob {sha256} is damaged: its bytes are {digest.hexdigest()}")


class ManifestZip(Archive):
    """A `manifest.zip`.

    Attributes:
        manifest: what it says.
    """

    manifest: Manifest

    @property
    def manifest_bytes(self) -> bytes:
        return self.document

    def _named(self) -> Mapping[str, int]:
        self.manifest = codec.load(self.document, where=f"{self.path}:{_MANIFEST}")
        if codec.dump(self.manifest) != self.document:
            raise self._fail("the manifest is not in canonical form")
        return blobs_of(self.manifest)
