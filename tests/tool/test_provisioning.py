"""What a device is given beside its keys: where its tunnel leads and which addresses are its own."""

from __future__ import annotations

import json

import pytest

from kos.abi.errors import KosError
from kos.keys import pairs
from kos.tool.request import install_keys

TUNNEL = {
    "peer_endpoint": "gateway.example:51820",
    "peer_public_key": "A" * 43 + "=",
    "network": "10.90.7.0/28",
}


@pytest.fixture
def keys(tmp_path):
    pairs.generate(tmp_path / "given", pairs.DEVICE_KEYS.items())
    return tmp_path / "given"


def test_the_tunnel_goes_with_the_keys(keys, tmp_path):
    (keys / "tunnel.json").write_text(json.dumps(TUNNEL))
    install_keys(tmp_path / "device", keys)
    assert json.loads((tmp_path / "device/tunnel.json").read_text()) == TUNNEL
    install_keys(tmp_path / "other", None)
    assert not (tmp_path / "other/tunnel.json").exists()


@pytest.mark.parametrize(
    "text", ["nonsense", "[]", '{"endpoint": "x"}', '{"network": "10.90.7.1/28"}', " " * 4097]
)
def test_a_tunnel_that_is_none_is_refused_before_anything_is_made(keys, tmp_path, text):
    (keys / "tunnel.json").write_text(text)
    with pytest.raises(KosError, match=r"tunnel\.json"):
        install_keys(tmp_path / "device", keys)
    assert not (tmp_path / "device").exists()
