"""What of a project `watch` follows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from watchfiles import Change

from kos.tool.watcher import Sources


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Of a project into which standard output is redirected, as by `kos-tool watch > console.txt`."""
    with (tmp_path / "console.txt").open("w") as console:
        saved = os.dup(1)
        os.dup2(console.fileno(), 1)
        try:
            return Sources(tmp_path)
        finally:
            os.dup2(saved, 1)
            os.close(saved)


@pytest.mark.parametrize(
    ("name", "followed"),
    [
        ("system.py", True),
        ("apps/one/main.c", True),
        ("apps/one/seed.log", True),
        ("notes.txt", True),
        ("console.txt", False),  # each line that we print would make the next one
        ("tee.log", False),
        ("build/host/manifest.zip", False),
        ("apps/one/kos.lock", False),
        (".git/index", False),
        ("apps/one/__pycache__/one.pyc", False),
    ],
)
def test_what_is_a_source(sources: Sources, tmp_path: Path, name: str, followed: bool) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert sources(Change.modified, str(path)) is followed
