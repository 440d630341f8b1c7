"""Trees and tars: the same bytes everywhere, and no way out of the directory."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from kos.build import tree
from kos.build.errors import BuildError


def packed(directory: Path) -> bytes:
    out = io.BytesIO()
    tree.pack(directory, out)
    return out.getvalue()


def make(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def tar_of(path: Path, *entries: tuple[str, bytes | None] | tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
                continue
            info = tarfile.TarInfo(entry[0])
            if entry[1] is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return path


def test_order_dates_and_umask_do_not_matter(tmp_path):
    first = make(tmp_path / "first", ["b", "a/x", "a/long" + "n" * 200])
    previous = os.umask(0o077)
    try:
        second = make(tmp_path / "second", ["a/long" + "n" * 200, "a/x", "b"])
    finally:
        os.umask(previous)
    os.utime(second / "b", (1, 1))
    assert packed(first) == packed(second)
    assert tree.digest(first) == tree.digest(second)


def test_executable_bit_counts(tmp_path):
    first, second = make(tmp_path / "1", ["run"]), make(tmp_path / "2", ["run"])
    (second / "run").chmod(0o755)
    assert packed(first) != packed(second)
    assert tree.digest(first) != tree.digest(second)


def test_what_tools_leave_is_no_source(tmp_path):
    root = make(tmp_path, ["a.py", "__pycache__/a.pyc", ".git/config", "b.py~", "x.egg-info/PKG-INFO"])
    assert [name for name, _ in tree.walk(root)] == ["a.py"]


def test_links_and_pipes_are_refused(tmp_path):
    make(tmp_path, ["a"])
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(BuildError, match="only plain files"):
        list(tree.walk(tmp_path))
    (tmp_path / "b").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BuildError, match="only plain files"):
        packed(tmp_path)


def test_a_link_to_a_directory_is_refused(tmp_path):
    make(tmp_path, ["sub/a"])
    (tmp_path / "link").symlink_to("sub")
    with pytest.raises(BuildError, match="only plain files"):
        list(tree.walk(tmp_path))


def test_there_and_back(tmp_path):
    root = make(tmp_path / "in", ["site/a.py", "bin/run"])
    (root / "bin/run").chmod(0o700)
    (tmp_path / "t.tar").write_bytes(packed(root))
    out = tmp_path / "out"
    out.mkdir()
    tree.unpack(tmp_path / "t.tar", out)
    assert packed(out) == packed(root)
    assert (out / "bin/run").stat().st_mode & 0o777 & ~0o022 == 0o755


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "a//b", "./a", "a\\b", "d/" * 64 + "x", "n" * 1025]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(BuildError, match=r"not a path inside an image|too long"):
        tree.unpack(tar_of(tmp_path / "t.tar", (name, b"x")), out)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("x")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(BuildError, match="neither a file nor a directory"):
        tree.unpack(tar_of(tmp_path / "t.tar", info), tmp_path)


def test_doubles_are_refused(tmp_path):
    with pytest.raises(BuildError, match="there twice"):
        tree.unpack(tar_of(tmp_path / "t.tar", ("a", b"1"), ("a", b"2")), tmp_path)


def test_cut_short_is_refused(tmp_path):
    whole = tar_of(tmp_path / "t.tar", ("a", b"1" * 5000)).read_bytes()
    for length in (100, 600, 3000):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        out = tmp_path / str(length)
        out.mkdir()
        with pytest.raises(BuildError, match=r"not a whole tar|ends too early"):
            tree.unpack(tmp_path / "cut.tar", out)


def test_one_entry_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "ENTRIES_MAX", 2)
    make(tmp_path / "in", ["a", "b", "c"])
    with pytest.raises(BuildError, match="more than 2"):
        packed(tmp_path / "in")
    with pytest.raises(BuildError, match="more than 2"):
        tree.unpack(tar_of(tmp_path / "t.tar", ("a", b""), ("b", b""), ("c", b"")), tmp_path)


def test_one_byte_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "UNPACKED_BYTES_MAX", 9)
    with pytest.raises(BuildError, match="more than 9 bytes"):
        tree.unpack(tar_of(tmp_path / "t.tar", ("a", b"12345"), ("b", b"12345")), tmp_path)
