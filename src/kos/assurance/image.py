"""What rules see of a built image: blobs as they are, what lies in them, who signed it, what the SBOM lists.

`read_blob` reads one image; whoever opens the `manifest.zip` puts the parts together as `ImageFacts`.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO

from kos.assurance.errors import AssuranceError
from kos.assurance.secrets import shape_of
from kos.manifest.frozen import EMPTY

BLOB_FILES_MAX = 65536  # files in one image
SCAN_BYTES_MAX = 1 << 20  # of a file that are searched for secrets
_ELF = b"\x7fELF"
_CHUNK = 1 << 20
SETUID, SETGID, OTHERS_WRITE = 0o4000, 0o2000, 0o002


@dataclass(frozen=True)
class ImageFile:
    """A file of an image.

    Attributes:
        path: from the image's root, without a leading slash.
        kind: "file", "directory", "link" or "other".
        mode: permission bits.
        program: it is an ELF program or library.
        secret: what secret it contains, such as "a private key"; None for none.
    """

    path: str
    kind: str
    mode: int
    program: bool = False
    secret: str | None = None


@dataclass(frozen=True)
class Blob:
    """A blob as it is: its real digest and size, and its files, or the `problem` in reading them."""

    sha256: str
    size: int
    files: tuple[ImageFile, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Signature:
    """A signature over the manifest, as whoever verifies it says.

    Attributes:
        key_id: of the public key.
        valid: it verifies, and its key is trusted.
        development: the key is one of those that every SDK has.
        expires: the key's last day; None where it has none.
    """

    key_id: str
    valid: bool
    development: bool = False
    expires: date | None = None


@dataclass(frozen=True)
class ImageFacts:
    """A built image.

    Attributes:
        blobs: by the name under which the archive holds them (a SHA-256).
        signatures: over the manifest.
        components: (name, version) of what the SBOM lists; None without an SBOM.
        root: files of the root file system; None where only apps were built.
        root_size: bytes of kernel and root file system; None where only apps were built.
        filters: name → SHA-256 of each compiled system-call filter in the root.
        expected_filters: SHA-256 of all that the SDK's policies compile to; None where that is not known.
    """

    blobs: Mapping[str, Blob]
    signatures: tuple[Signature, ...] = ()
    components: frozenset[tuple[str, str]] | None = None
    root: tuple[ImageFile, ...] | None = None
    root_size: int | None = None
    filters: Mapping[str, str] = EMPTY
    expected_filters: frozenset[str] | None = None


def read_blob(stream: BinaryIO) -> Blob:
    """A blob from a file that can be read twice: digest, size, and the files of the tar that it should be."""
    digest, size = hashlib.sha256(), 0
    stream.seek(0)
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    stream.seek(0)
    try:
        return Blob(digest.hexdigest(), size, read_tar(stream))
    except (tarfile.TarError, AssuranceError, EOFError, ValueError) as error:
        return Blob(digest.hexdigest(), size, problem=str(error))


def read_tar(stream: BinaryIO) -> tuple[ImageFile, ...]:
    """The files of an uncompressed tar.

    Raises:
        AssuranceError: more files than an image may have.
        tarfile.TarError: not a tar.
    """
    files = []
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            if len(files) >= BLOB_FILES_MAX:
                raise AssuranceError(f"more than {BLOB_FILES_MAX} files in one image")
            head = b""
            if member.isreg():
                content = archive.extractfile(member)
                head = content.read(SCAN_BYTES_MAX) if content else b""
            files.append(image_file(member.name, _kind(member), member.mode, head))
    return tuple(files)


def image_file(path: str, kind: str, mode: int, head: bytes) -> ImageFile:
    """A file by its name, its mode and its first `SCAN_BYTES_MAX` bytes."""
    program = head.startswith(_ELF)
    secret = None if program else shape_of(head.decode("utf-8", "replace"))
    return ImageFile(path.removeprefix("./"), kind, mode & 0o7777, program, secret)


def _kind(member: tarfile.TarInfo) -> str:
    if member.isreg():
        return "file"
    if member.isdir():
        return "directory"
    return "link" if member.issym() or member.islnk() else "other"
