"""Fixtures: one Studio and one Fleet Server for a file's tests, and simulated devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.devices import Park, park
from tests.server.running import PASSWORD, Server, running


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("studio"), auto_accept=True) as server:
        yield server


@contextlib.contextmanager
def fleet_server(folder: Path, **options: Any) -> Iterator[Server]:
    """A Fleet Server whose first password is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOS_SERVER_ADMIN_PASSWORD", PASSWORD)
        with running(folder, product="fleet", heartbeat=2.0, **options) as server:
            yield server


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with fleet_server(tmp_path_factory.mktemp("fleet")) as server:
        yield server


@pytest.fixture
def devices() -> Iterator[Park]:
    with park() as made:
        yield made
