"""A device that falls silent, or talks nonsense, is an error with what to do about it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from kos.abi.errors import KosError
from kos.device.upgrade.client import UpgradeClient

OK = b'{"ok": true}\n'


@pytest.fixture
def pair() -> Iterator[tuple[UpgradeClient, socket.socket]]:
    """A client that has met its device, and the device's end."""
    ours, device = socket.socketpair()

    def greet() -> None:
        name = json.loads(device.makefile("rb").readline())["id"]
        device.sendall(json.dumps({"ok": True, "id": name}).encode() + b"\n")

    thread = threading.Thread(target=greet)
    thread.start()
    with device, UpgradeClient(ours) as client:
        thread.join()
        yield client, device


def test_a_device_that_falls_silent_during_an_upgrade(pair) -> None:
    client, device = pair
    device.sendall(OK + b'{"event": "installed"}\n')
    client._socket.settimeout(0.05)
    events = client.commit()
    assert next(events) == {"event": "installed"}
    with pytest.raises(KosError, match="said nothing more about the upgrade: timed out") as caught:
        next(events)
    assert caught.value.hint == "it may still be at it; see what it runs: kos-tool device.status"


def test_a_device_that_ends_the_connection_ends_the_upgrade(pair) -> None:
    client, device = pair
    device.sendall(OK + b'{"event": "installed"}\n')
    device.shutdown(socket.SHUT_WR)
    assert list(client.commit()) == [{"event": "installed"}]


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b"[" * 100_000 + b"\n", b"\xff\n"])
def test_a_device_that_talks_nonsense(pair, line: bytes) -> None:
    client, device = pair
    device.sendall(line[:150_000])
    with pytest.raises(KosError, match="expected a JSON object from the device, found b"):
        client.collect()


@pytest.mark.parametrize("error", [b"null", b'"no"', b"{}"])
def test_a_device_that_refuses_without_a_reason(pair, error: bytes) -> None:
    client, device = pair
    device.sendall(b'{"ok": false, "error": ' + error + b"}\n")
    with pytest.raises(KosError, match="the device refused: None"):
        client.collect()
