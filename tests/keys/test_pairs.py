"""Key pairs: what is written, with which mode, and what is never done."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kos.abi.errors import KosError
from kos.keys import pairs

ALL = sorted(pairs.DEVICE_KEYS.items())


def test_each_pair_belongs_together(tmp_path):
    public = pairs.generate(tmp_path / "keys", ALL)
    for name, kind in (("tunnel", X25519PrivateKey), ("server", Ed25519PrivateKey)):
        secret = kind.from_private_bytes((tmp_path / "keys" / f"{name}.key").read_bytes())
        assert secret.public_key().public_bytes_raw() == public[name]
        assert (tmp_path / "keys" / f"{name}.pub").read_bytes() == public[name]
    pairs.check_device_keys(tmp_path / "keys")


def test_only_the_owner_may_read(tmp_path):
    pairs.generate(tmp_path / "keys", ALL)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()}
    assert modes == {"server.key": 0o600, "server.pub": 0o644, "tunnel.key": 0o600, "tunnel.pub": 0o644}
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_the_names_of_new_keys_are_durable(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    )
    pairs.generate(tmp_path / "keys", ALL)
    names = [str(tmp_path / "keys" / f"{name}.{end}") for name, _ in ALL for end in ("key", "pub")]
    assert synced == [*names, str(tmp_path / "keys"), str(tmp_path)]


def test_no_two_devices_have_the_same_keys(tmp_path):
    assert pairs.generate(tmp_path / "a", ALL) != pairs.generate(tmp_path / "b", ALL)


def test_a_key_is_never_overwritten(tmp_path):
    pairs.generate(tmp_path, [("tunnel", "x25519")])
    before = (tmp_path / "tunnel.key").read_bytes()
    with pytest.raises(KosError, match="not overwritten"):
        pairs.generate(tmp_path, ALL)
    assert (tmp_path / "tunnel.key").read_bytes() == before
    assert not (tmp_path / "server.key").exists()


def test_a_dangling_link_is_not_followed(tmp_path):
    (tmp_path / "tunnel.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KosError, match="not overwritten"):
        pairs.generate(tmp_path, ALL)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["", "../x", "A", "a" * 33, "a b", "1a"])
def test_names_that_no_key_can_have(tmp_path, name):
    with pytest.raises(KosError, match="cannot be a key's name"):
        pairs.generate(tmp_path / "keys", [(name, "ed25519")])
    assert not (tmp_path / "keys").exists()


def test_keys_that_are_not_fit_for_a_device(tmp_path):
    with pytest.raises(KosError, match="cannot be read") as caught:
        pairs.check_device_keys(tmp_path)
    assert caught.value.hint
    pairs.generate(tmp_path, ALL)
    (tmp_path / "tunnel.key").chmod(0o640)
    with pytest.raises(KosError, match="open to others"):
        pairs.check_device_keys(tmp_path)
    (tmp_path / "tunnel.key").chmod(0o600)
    (tmp_path / "server.pub").write_bytes(bytes(33))
    with pytest.raises(KosError, match="found 33"):
        pairs.check_device_keys(tmp_path)
