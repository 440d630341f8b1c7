"""What a device refuses, asked over the protocol: nothing of its storage is touched, and it goes on."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kos.abi.errors import KosError
from kos.device.store.filesystem import FileSystem
from kos.device.upgrade.local import connect
from kos.keys import signing
from kos.manifest import Context, codec
from kos.manifest.limits import MANIFEST_BYTES_MAX

from .test_local import STEADY, image
from .test_local import system as manifest_of

ALICE, BOB, MALLORY = (bytes([number]) * 32 for number in (1, 2, 3))
TWO_OF_TWO = signing.Trust(
    frozenset(signing.verify(signing.sign(b"", key), b"") for key in (ALICE, BOB)), threshold=2
)


def document(release: str = "1.1.0", platform: str = "host", **options: object) -> bytes:
    manifest = Context("small", release=release).set_kos_options(**options).manifest()
    return codec.dump(replace(manifest, platform=platform))


def signed(text: bytes, *keys: bytes) -> dict[str, bytes]:
    return {f"signer{number}": signing.sign(text, key) for number, key in enumerate(keys)}


def everything(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file with the time of its last change and what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        text = os.readlink(path) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            text = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = (path.lstat().st_mtime_ns, text)
    return found


@pytest.fixture
def device(tmp_path):
    """The directory of a device that runs release 1.0.0 and takes what Alice and Bob have signed."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/trusted.json").write_bytes(TWO_OF_TWO.dump())
    (tmp_path / "manifest.json").write_bytes(document("1.0.0"))
    with connect(tmp_path):
        pass  # what runs becomes generation 1
    return tmp_path


GOOD = document()
BROKEN = signed(GOOD, ALICE, BOB) | {"third": signing.sign(GOOD + b" ", ALICE)}


@pytest.mark.parametrize(
    ("text", "signatures", "words"),
    [
        (GOOD, {}, "it is not signed"),
        (GOOD, signed(GOOD, MALLORY), "0 of its 1 signers"),
        (GOOD, signed(GOOD, ALICE), "2 trusted signatures are needed"),
        (GOOD, signed(GOOD, ALICE, ALICE), "2 trusted signatures are needed"),
        (GOOD, signed(document("9.9.9"), ALICE, BOB), "not of this manifest"),
        (GOOD, BROKEN, "not of this manifest"),
        (GOOD, {"alice": b"no signature"}, "expected a kos.signature"),
        (document(disable_signing=True), {}, "it is not signed"),
        (document("0.9.0"), signed(document("0.9.0"), ALICE, BOB), "older than 1.0.0"),
        (document(platform="rpi4"), signed(document(platform="rpi4"), ALICE, BOB), "built for rpi4"),
        (b"{}", {}, "format"),
    ],
)
def test_nothing_is_touched(device, text, signatures, words):
    before = everything(device)
    with connect(device) as client:
        with pytest.raises(KosError, match=words):
            client.offer(text, signatures)
        (event,) = client.commit()
        assert event["event"] == "failed" and "nothing was offered" in event["reason"]
        assert everything(device) == before
        assert client.offer(GOOD, signed(GOOD, ALICE, BOB)) == {}, "the connection goes on"


def test_full_storage_is_refused_before_anything_is_touched(device, monkeypatch, tmp_path_factory):
    sha256, blob = image(tmp_path_factory.mktemp("image") / "alpha", STEADY.format("alpha"))
    text = manifest_of("1.1.0", {"alpha": (sha256, blob)})
    monkeypatch.setattr(FileSystem, "free_bytes", lambda *_: (4 << 20) + 2 * blob.stat().st_size - 1)
    before = everything(device)
    with connect(device) as client:
        with pytest.raises(KosError, match="the storage is full"):
            client.offer(text, signed(text, ALICE, BOB))
        assert everything(device) == before


def test_storage_that_fills_up_meanwhile_is_told_and_leaves_no_part(device, monkeypatch, tmp_path_factory):
    """Somebody else took the room after the offer: apps' data, for example."""
    sha256, blob = image(tmp_path_factory.mktemp("image") / "alpha", STEADY.format("alpha"))
    text = manifest_of("1.1.0", {"alpha": (sha256, blob)})
    fsync = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with connect(device) as client:
        assert client.offer(text, signed(text, ALICE, BOB)) == {sha256: blob.stat().st_size}
        names = set(everything(device))
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(KosError, match="No space left on device"):
            client.send(sha256, blob)
        assert set(everything(device)) == names
        monkeypatch.setattr(os, "fsync", fsync)
        client.send(sha256, blob)
        assert (device / "store/blobs/sha256" / sha256).exists()


def test_a_blob_that_was_not_asked_for_is_refused(device, tmp_path_factory):
    sha256, blob = image(tmp_path_factory.mktemp("image") / "alpha", STEADY.format("alpha"))
    with connect(device) as client:
        client.offer(GOOD, signed(GOOD, ALICE, BOB))
        before = everything(device)
        with pytest.raises(KosError, match="not asked for"):
            client.send(sha256, blob)
        assert everything(device) == before


def test_a_request_over_the_limit_ends_the_session(device):
    with connect(device) as client, pytest.raises(KosError):
        client.offer(b" " * (3 * MANIFEST_BYTES_MAX), {})
