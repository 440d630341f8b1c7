"""What is read from an image is what is in it, and a wrong one is a finding, not a crash."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from kos.assurance import image
from kos.assurance.image import read_blob


def tar(*members: tuple[str, bytes, int, bytes]) -> bytes:
    """A tar of (name, content, mode, type)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, mode, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.type = len(content), mode, kind
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_a_blob_is_read():
    data = tar(
        ("./bin/app", b"\x7fELF\x02", 0o755, tarfile.REGTYPE),
        ("site", b"", 0o755, tarfile.DIRTYPE),
        ("site/key.pem", b"-----BEGIN PRIVATE KEY-----\n", 0o4644, tarfile.REGTYPE),
        ("dev/mem", b"", 0o600, tarfile.CHRTYPE),
        ("link", b"", 0o777, tarfile.SYMTYPE),
    )
    blob = read_blob(io.BytesIO(data))
    assert (blob.sha256, blob.size, blob.problem) == (hashlib.sha256(data).hexdigest(), len(data), "")
    found = {file.path: file for file in blob.files}
    assert found["bin/app"].program
    assert found["site"].kind == "directory"
    assert (found["site/key.pem"].secret, found["site/key.pem"].mode) == ("a private key", 0o4644)
    assert found["dev/mem"].kind == "other"
    assert found["link"].kind == "link"


@pytest.mark.parametrize("data", [b"", b"not a tar", tar(("a", b"b" * 2000, 0o644, tarfile.REGTYPE))[:1500]])
def test_a_wrong_blob_has_a_problem(data: bytes):
    blob = read_blob(io.BytesIO(data))
    assert blob.problem
    assert blob.sha256 == hashlib.sha256(data).hexdigest()


def test_an_image_has_a_limit_of_files(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image, "BLOB_FILES_MAX", 2)
    files = [(f"f{number}", b"", 0o644, tarfile.REGTYPE) for number in range(3)]
    assert read_blob(io.BytesIO(tar(*files[:2]))).problem == ""
    assert "more than 2 files" in read_blob(io.BytesIO(tar(*files))).problem
