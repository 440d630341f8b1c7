"""Systems that a test starts end with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.running import Run, Start


@pytest.fixture
def start() -> Iterator[Start]:
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap: apt-get install bubblewrap")
    running: list[Run] = []

    def begin(project: Path, **environ: str) -> Run:
        running.append(Run(project, environ))
        return running[-1]

    yield begin
    for each in running:
        each.stop()
