"""The C programs of native/tests and native/fuzz, built before the first test that needs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos.build import native


@pytest.fixture(scope="session")
def programs() -> Path:
    """The directory with the built programs."""
    native.extension()  # the message server, which most tests start, needs it
    return native.tests()
