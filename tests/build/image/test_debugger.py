"""gdbserver in a root file system: in its own folder, with what it needs, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.build.image import debugger


def package(folder: Path, libraries: tuple[str, ...]) -> Path:
    (folder / "usr/bin").mkdir(parents=True)
    (folder / debugger.PROGRAM).write_bytes(b"\x7fELF")
    (folder / "usr/lib/aarch64-linux-gnu").mkdir(parents=True)
    for name in libraries:
        (folder / "usr/lib/aarch64-linux-gnu" / name).write_bytes(name.encode())
    return folder


def test_it_brings_what_the_root_lacks(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "usr/lib/aarch64-linux-gnu").mkdir(parents=True)
    (tree / "usr/lib/aarch64-linux-gnu/libm.so.6").write_bytes(b"there")
    debugger.add(tree, package(tmp_path / "package", debugger.LIBRARIES[:2]))
    home = tree / debugger.FOLDER
    found = {str(path.relative_to(home)): path.stat().st_mode & 0o777 for path in home.rglob("*")}
    assert found == {
        "gdbserver": 0o755,
        "lib": 0o755,
        "lib/libgcc_s.so.1": 0o644,
        "lib/libstdc++.so.6": 0o644,
    }


def test_a_library_that_nobody_brings_is_named(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with pytest.raises(KosError, match=r"gdbserver needs libm\.so\.6"):
        debugger.add(tree, package(tmp_path / "package", debugger.LIBRARIES[:2]))
