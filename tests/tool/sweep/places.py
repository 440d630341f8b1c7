"""Where a test has everything that a command may touch."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everything is that a command may touch; the test is there."""
    for name in ("HOME", "XDG_RUNTIME_DIR", "TMPDIR", "KOS_HOME"):
        (tmp_path / name).mkdir(mode=0o700)
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "KOS_YES"):
        monkeypatch.delenv(name, raising=False)
    # The Studio that may run on this machine is somebody's; nobody listens here.
    monkeypatch.setenv("KOS_SERVER_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("KOS_NO_STUDIO", "1")
    (tmp_path / "XDG_RUNTIME_DIR/kos").mkdir(mode=0o700)
    sdk = tmp_path / "KOS_HOME/sdk/default"
    sdk.mkdir(parents=True)
    (sdk / "sdk.lock.json").write_text('{"format": "kos.sdk.lock", "version": "1.0.0", "sets": {}}')
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(tmp_path)
    return tmp_path
