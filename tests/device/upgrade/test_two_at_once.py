"""Two clients upgrade a run of this machine at once: each has an engine of its own, and one of them waits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.device.upgrade.client import UpgradeClient
from kos.device.upgrade.local import connect
from tests.device.systems import DEADLINE

from .test_local import STEADY, image
from .test_local import system as manifest_of


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A run that nobody has looked at yet."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/manifest.json").write_bytes(manifest_of("1.0.0", {}))
    return tmp_path / "run"


def offer_when_free(client: UpgradeClient, text: bytes) -> dict[str, int]:
    """An offer; the engine of a client that is gone may take a moment to hear of that."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return client.offer(text, {})
        except KosError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_the_second_one_is_refused_and_breaks_nothing(directory: Path, tmp_path: Path) -> None:
    sha256, blob = image(tmp_path / "alpha", STEADY.format("alpha"))
    text = manifest_of("1.1.0", {"alpha": (sha256, blob)})
    with connect(directory) as first:
        assert first.offer(text, {}) == {sha256: blob.stat().st_size}
        # What the first one is in the middle of looks as a power cut leaves it.
        part = directory / "store/blobs/sha256" / f".part-{sha256}"
        part.write_bytes(b"half")
        with connect(directory) as second:
            assert second.hello()["release"] == "1.0.0"
            for wish in (lambda: second.offer(text, {}), second.collect):
                with pytest.raises(KosError, match="another upgrade goes on here"):
                    wish()
            assert part.exists()
            first.send(sha256, blob)
    with connect(directory) as third:
        assert offer_when_free(third, text) == {}, "who is gone holds nothing"


def test_a_refused_offer_holds_nothing(directory: Path) -> None:
    with connect(directory) as first, connect(directory) as second:
        with pytest.raises(KosError, match="older"):
            first.offer(manifest_of("0.9.0", {}), {})
        assert second.offer(manifest_of("1.2.0", {}), {}) == {}
