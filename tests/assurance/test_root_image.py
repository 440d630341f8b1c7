"""Files and filters of a root file system are read from the image as it is."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.device.seccomp.compiler import compile_policy
from kos.device.seccomp.policy import policy_for
from kos.tool.root_image import expected_filters, root_files, root_filters


@pytest.fixture
def image(tmp_path: Path) -> Path:
    for program in ("mksquashfs", "unsquashfs"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install squashfs-tools")
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "filters").mkdir()
    (tree / "usr/bin/su").write_text("x")
    (tree / "usr/bin/su").chmod(0o4755)
    (tree / "name with spaces").write_text("y")
    (tree / "name with spaces").chmod(0o666)
    (tree / "tmp").mkdir()
    (tree / "tmp").chmod(0o1777)
    (tree / "link").symlink_to("usr/bin/su")
    (tree / "filters/python.bpf").write_bytes(compile_policy(policy_for("python"), "aarch64"))
    (tree / "filters/other.bpf").write_bytes(b"\0" * 8)
    subprocess.run(["mksquashfs", str(tree), str(tmp_path / "root"), "-quiet", "-no-progress"], check=True)
    return tmp_path / "root"


def test_files_have_their_modes(image: Path):
    found = {file.path: (file.kind, file.mode) for file in root_files(image)}
    assert found["usr/bin/su"] == ("file", 0o4755)
    assert found["name with spaces"] == ("file", 0o666)
    assert found["tmp"] == ("directory", 0o1777)
    assert found["link"][0] == "link"


def test_filters_are_compared_with_what_the_policies_compile_to(image: Path):
    filters = root_filters(image, "filters")
    expected = expected_filters("aarch64")
    assert filters["python.bpf"] in expected
    assert filters["other.bpf"] == hashlib.sha256(b"\0" * 8).hexdigest()
    assert filters["other.bpf"] not in expected


def test_what_is_no_squashfs_is_refused(tmp_path: Path):
    if shutil.which("unsquashfs") is None:
        pytest.skip("needs unsquashfs: apt-get install squashfs-tools")
    (tmp_path / "root").write_bytes(b"nothing")
    with pytest.raises(KosError):
        root_files(tmp_path / "root")
