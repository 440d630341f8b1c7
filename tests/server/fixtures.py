"""Fixtures: one Studio and one Fleet Server for a file's tests, and simulated devices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.devices import Park, park
from tests.server.running import PASSWORD, Server, running


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("studio"), auto_accept=True) as server:
        yield server


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOS_SERVER_ADMIN_PASSWORD", PASSWORD)
        with running(tmp_path_factory.mktemp("fleet"), product="fleet", heartbeat=2.0) as server:
            yield server


@pytest.fixture
def devices() -> Iterator[Park]:
    with park() as made:
        yield made
