"""The extension module is built before the first test that needs it."""

from __future__ import annotations

import pytest

from kos.build import native


@pytest.fixture(scope="session", autouse=True)
def extension() -> None:
    native.extension()
