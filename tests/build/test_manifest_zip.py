"""`manifest.zip`: one form, and everything else refused without a trace."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kos.abi.errors import KosError
from kos.build import manifest_zip
from kos.build.errors import BuildError
from kos.build.manifest_zip import ManifestZip
from kos.manifest import App, BuiltPythonImage, Context, PythonImage, System

IMAGE = b"image " * 1000


class Small(System):
    def setup(self, ctx: Context) -> Context:
        return ctx.put_msg_server("msg0").put_app(App("station", PythonImage("apps/station")))


def write(path: Path, images: dict[str, bytes] | None = None, signatures=None) -> Path:
    manifest = Small().manifest()
    blobs, apps = {}, {}
    for name, data in (images or {"station": IMAGE}).items():
        sha256 = hashlib.sha256(data).hexdigest()
        blobs[sha256] = path.with_name(sha256)
        blobs[sha256].write_bytes(data)
        apps[name] = App(name, BuiltPythonImage(sha256, len(data), f"{name}:main"))
    manifest_zip.write(path, replace(manifest, apps=apps), blobs, signatures)
    return path


def blob_of(archive: ManifestZip, sha256: str) -> bytes:
    out = io.BytesIO()
    archive.copy_blob(sha256, out)
    return out.getvalue()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "manifest.zip")


def test_there_and_back(tmp_path):
    path = write(tmp_path / "m.zip", {"a": b"1", "b": b"22", "c": b"1"}, {"key1": b"{}", "key0": b"[]"})
    with ManifestZip(path) as archive:
        assert sorted(archive.blobs.values()) == [1, 2]
        assert {blob_of(archive, sha256) for sha256 in archive.blobs} == {b"1", b"22"}
        assert archive.signatures == {"key0": b"[]", "key1": b"{}"}
        assert sorted(archive.manifest.apps) == ["a", "b", "c"]


def test_it_is_an_ordinary_zip_with_the_manifest_first(good):
    with zipfile.ZipFile(good) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", f"blobs/sha256/{hashlib.sha256(IMAGE).hexdigest()}"]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_equal_contents_are_equal_bytes(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    assert write(tmp_path / "1/m.zip").read_bytes() == write(tmp_path / "2/m.zip").read_bytes()


def test_an_unbuilt_manifest_is_not_written(tmp_path):
    with pytest.raises(BuildError, match="'station' is not built"):
        manifest_zip.write(tmp_path / "m.zip", Small().manifest(), {})
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_blob_leaves_the_old_archive(good):
    before = good.read_bytes()
    with ManifestZip(good) as archive:
        manifest = archive.manifest
    (sha256,) = archive.blobs
    (good.parent / sha256).write_bytes(b"other")
    with pytest.raises(BuildError, match="the blob is not"):
        manifest_zip.write(good, manifest, {sha256: good.parent / sha256})
    assert good.read_bytes() == before
    assert sorted(p.name for p in good.parent.iterdir()) == sorted([good.name, sha256])


@pytest.mark.parametrize("keep", [0, 1, 29, 100, 3000, -1, -22, -100])
def test_cut_short(good, keep):
    good.write_bytes(good.read_bytes()[:keep])
    with pytest.raises(BuildError, match=r"hint:|not a whole|damaged|ends in the middle"):
        ManifestZip(good)


def test_no_such_file_and_a_directory(tmp_path):
    with pytest.raises(BuildError, match="cannot be read"):
        ManifestZip(tmp_path / "none.zip")
    with pytest.raises(BuildError, match="cannot be read"):
        ManifestZip(tmp_path)


def test_bytes_before_or_after(good):
    data = good.read_bytes()
    for changed in (b"x" + data, data + b"x", data + data):
        good.write_bytes(changed)
        with pytest.raises(BuildError):
            ManifestZip(good)


def test_a_changed_blob_is_noticed_while_reading(good):
    data = bytearray(good.read_bytes())
    data[data.index(IMAGE)] ^= 1
    good.write_bytes(data)
    with ManifestZip(good) as archive, pytest.raises(BuildError, match="is damaged"):
        blob_of(archive, next(iter(archive.blobs)))


def repack(path: Path, entries: list[tuple[str, bytes]], **how) -> Path:
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o100644 << 16
            info.compress_type = archive.compression
            archive.writestr(info, data)
    return path


def entries_of(path: Path) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


@pytest.mark.parametrize(
    "extra",
    ["../../etc/passwd", "/etc/passwd", "blobs/sha256/../../x", "other.json", "signatures/../x.json",
     "signatures/a.txt", "blobs/sha256/" + "g" * 64, "blobs/sha256/" + "0" * 64, "manifest.json", "n" * 200],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_does_not_belong(good, extra):
    repack(good, [*entries_of(good), (extra, b"x")])
    with pytest.raises(BuildError, match=r"does not belong|there twice|not named by|damaged"):
        ManifestZip(good)


def test_another_order(good):
    repack(good, entries_of(good)[::-1])
    with pytest.raises(BuildError, match="not there"):
        ManifestZip(good)


def test_compressed(good):
    repack(good, entries_of(good), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BuildError, match="was not written by kos-tool"):
        ManifestZip(good)


def test_a_missing_blob(good):
    repack(good, entries_of(good)[:1])
    with pytest.raises(BuildError, match="is missing"):
        ManifestZip(good)


def test_no_manifest_at_all(good):
    repack(good, entries_of(good)[1:])
    with pytest.raises(BuildError, match="does not belong"):
        ManifestZip(good)
    good.write_bytes(b"PK\5\6" + bytes(18))
    with pytest.raises(BuildError, match="not a whole"):
        ManifestZip(good)


@pytest.mark.parametrize(
    "manifest", [b"", b"{}", b"\xff", b"[" * 1000, b'{"format": "kos.manifest", "version": 2}', b"null"]
)
def test_a_wrong_manifest(good, manifest):
    repack(good, [("manifest.json", manifest), *entries_of(good)[1:]])
    with pytest.raises(KosError, match=r"manifest\.json"):
        ManifestZip(good)


def test_a_manifest_in_another_form(good):
    (name, manifest), *rest = entries_of(good)
    repack(good, [(name, manifest + b"\n"), *rest])
    with pytest.raises(BuildError, match="canonical"):
        ManifestZip(good)


def test_a_size_that_is_not_there(good):
    """A header that claims four gigabytes costs nothing."""
    data = bytearray(good.read_bytes())
    struct.pack_into("<II", data, 18, 0xFFFFFFF0, 0xFFFFFFF0)
    good.write_bytes(data)
    with pytest.raises(BuildError, match="cut short"):
        ManifestZip(good)


def test_limits_one_over(tmp_path, monkeypatch):
    signatures = {f"k{i}": b"{}" for i in range(manifest_zip.SIGNATURES_MAX + 1)}
    with pytest.raises(BuildError, match="signatures are too many"):
        ManifestZip(write(tmp_path / "1.zip", signatures=signatures))
    large = {"k": b"x" * (manifest_zip.SIGNATURE_BYTES_MAX + 1)}
    with pytest.raises(BuildError, match="at most"):
        ManifestZip(write(tmp_path / "2.zip", signatures=large))
    good = write(tmp_path / "3.zip")
    monkeypatch.setattr(manifest_zip, "ARCHIVE_BYTES_MAX", good.stat().st_size - 1)
    with pytest.raises(BuildError, match="too many"):
        ManifestZip(good)
    with pytest.raises(BuildError, match="do not fit"):
        write(tmp_path / "4.zip", {"station": b"x" * good.stat().st_size})


@settings(max_examples=200, deadline=None)
@given(where=st.integers(0, 100_000), what=st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(tmp_path_factory, where, what):
    path = write(tmp_path_factory.mktemp("flip") / "m.zip", {"station": b"tiny image"})
    data = bytearray(path.read_bytes())
    data[where % len(data)] ^= what
    path.write_bytes(data)
    with pytest.raises(KosError), ManifestZip(path) as archive:
        for sha256 in archive.blobs:
            blob_of(archive, sha256)
