"""What the build tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos.build.cache import Cache
from tests.build.projects import SYSTEM, put, python_app


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty build cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture(scope="session")
def c_cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """A build cache that the C tests share, since a compiler's first use is slow."""
    return Cache(tmp_path_factory.mktemp("c-cache"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip must not ask any index: what a test needs lies in the app's own wheels/."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A system project with one Python app."""
    root = tmp_path / "project"
    put(root, system_py=SYSTEM)
    python_app(root / "apps" / "station")
    return root
