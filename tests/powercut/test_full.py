"""The storage is full at each step of an upgrade, for that step and all after it: the old generation stays
whole and starts, or the new one does, and with room again the upgrade can be done.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.device.store.filesystem import FileSystem
from kos.device.store.generations import GOOD

from .test_store import World, before_upgrade, check_whole

pytestmark = pytest.mark.group("powercut")


class Filling(FileSystem):
    """Storage that has no room left after some steps. Removing and renaming need none."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def make_directory(self, path: Path) -> None:
        if not path.is_dir():
            self._step()
        super().make_directory(path)

    def write(self, path: Path, chunks: Iterable[bytes]) -> None:
        self._step()
        super().write(path, chunks)

    def write_plain(self, path: Path, chunks: Iterable[bytes], *, executable: bool) -> None:
        self._step()
        super().write_plain(path, chunks, executable=executable)

    def link(self, path: Path, target: str) -> None:
        self._step()
        super().link(path, target)


@pytest.mark.parametrize("what", ["apps", "system"])
def test_a_full_storage_leaves_the_old_or_the_new_generation(what: str, tmp_path: Path, figures) -> None:
    old, new_document, contents = before_upgrade(tmp_path / "factory", what)
    outcomes = []
    for steps in range(1000):
        shutil.rmtree(tmp_path / "device", ignore_errors=True)
        shutil.copytree(tmp_path / "factory", tmp_path / "device", symlinks=True)
        files = Filling(steps)
        world = World(tmp_path / "device", files, "a")
        try:
            number = world.upgrade(new_document, contents, old).number
            if what == "system":
                world.boot()
            world.confirm(number)
        except (OSError, KosError):
            pass
        found = World(tmp_path / "device", FileSystem(), "a")
        generation = found.boot()
        check_whole(found, generation, contents)
        outcomes.append(generation.release)
        if files.left >= 0:
            break
        if generation.release == "1.0.0":
            again = found.upgrade(new_document, contents, old)
            generation = found.boot()
            assert generation.number == again.number
            check_whole(found, generation, contents)
        found.confirm(generation.number)
        assert found.store.generations()[generation.number].state == GOOD
    counts = {release: outcomes.count(release) for release in ("1.0.0", "1.1.0")}
    figures(f"{what}: full after each of {len(outcomes)} steps, generation that runs then: {counts}")
    assert outcomes[0] == "1.0.0" and outcomes[-1] == "1.1.0" and len(outcomes) > 5
