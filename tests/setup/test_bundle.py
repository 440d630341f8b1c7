"""The archive for machines without a network: what it holds is enough, and nothing else is asked."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.tool.bundle import bundle
from tests.setup.test_environment import SCRIPT, tree  # noqa: F401

pytestmark = pytest.mark.timeout(1200)


def wheel(folder: Path) -> Path:
    """A package that no index has."""
    folder.mkdir()
    path = folder / "bundled_thing-1.0-py3-none-any.whl"
    info = "bundled_thing-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("bundled_thing.py", "WORD = 'from the bundle'\n")
        out.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: bundled-thing\nVersion: 1.0\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{info}/RECORD", "")
    return path


def test_a_machine_without_a_network_sets_itself_up(tree: Path, tmp_path: Path) -> None:  # noqa: F811
    made = wheel(tmp_path / "index")
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    (tree / "setup/requirements-server.lock").write_text(f"bundled-thing==1.0 --hash=sha256:{digest}\n")
    environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(made.parent)}
    target = tmp_path / "kos.tar"
    assert bundle(tree, target, build=(), environ=environ) == 1
    (tmp_path / "over there").mkdir()
    subprocess.run(["tar", "-xf", target, "-C", tmp_path / "over there"], check=True)
    there = tmp_path / "over there/kos"
    (there / "start").write_text(SCRIPT)

    # No index can be reached: any question to one would fail.
    nowhere = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    nowhere |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null"}
    command = ["sh", str(there / "start"), str(there), "server"]
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    asked = [str(there / ".venv/bin/python"), "-c", "import bundled_thing; print(bundled_thing.WORD)"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "from the bundle\n"


def test_what_is_not_as_the_lock_says_is_not_packed(tree: Path, tmp_path: Path) -> None:  # noqa: F811
    made = wheel(tmp_path / "index")
    (tree / "setup/requirements-server.lock").write_text(f"bundled-thing==1.0 --hash=sha256:{'0' * 64}\n")
    environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(made.parent)}
    with pytest.raises(KosError, match="cannot be had"):
        bundle(tree, tmp_path / "kos.tar", build=(), environ=environ)
