"""The extension module of kos.app is built before the first service runs."""

from __future__ import annotations

import pytest

from kos.build import native


@pytest.fixture(scope="session", autouse=True)
def extension() -> None:
    native.extension()
