"""When the tunnel looks its peer up, tells WireGuard, and starts afresh: driven by a made-up clock."""

from __future__ import annotations

import itertools

import pytest

from kos.services.tunnel.peering import (
    CONNECTED,
    CONNECTING,
    FRESH_MAX,
    RESOLVE_MAX,
    Check,
    Peering,
    Resolve,
    SetPeer,
    Wait,
)
from kos.services.tunnel.runner import PeerSettings, peer_settings

OLD, NEW = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def peering() -> Peering:
    return Peering(25, lambda: 0.5)


def connected(peering: Peering, now: float = 0.0) -> Peering:
    assert peering.next(now) == Resolve()
    peering.resolved((OLD,), now)
    assert peering.next(now) == SetPeer(OLD, fresh=False)
    peering.checked(0.1, 100, 100, now)
    assert peering.state == CONNECTED
    return peering


def test_from_a_name_to_a_connection(peering):
    connected(peering)
    assert peering.reason == ""
    assert isinstance(peering.next(0.0), Wait)
    assert peering.next(10.0) == Check()


def test_look_ups_that_fail_are_spaced_and_bounded(peering):
    now, pauses = 0.0, []
    for _ in range(10):
        assert peering.next(now) == Resolve()
        peering.not_resolved("no such name", now)
        wait = peering.next(now)
        assert isinstance(wait, Wait)
        pauses.append(wait.seconds)
        now += wait.seconds
    assert pauses[:3] == [1.0, 2.0, 4.0] and pauses[-1] == RESOLVE_MAX
    assert peering.reason == "no such name"


def test_a_network_that_is_back_is_used_at_once(peering):
    now = 0.0
    for _ in range(8):
        peering.not_resolved("no name server", now)
        now += 60
    now -= 59
    assert peering.next(now) != Resolve()
    peering.network_changed(now)
    assert peering.next(now) == Resolve()


def test_a_new_address_of_the_device_is_told(peering):
    connected(peering)
    peering.network_changed(5.0)
    assert peering.next(5.0) == SetPeer(OLD, fresh=False)


def test_a_peer_that_moved_is_followed(peering):
    connected(peering)
    peering.checked(200.0, 100, 100, 200.0)
    assert peering.state == CONNECTING
    assert peering.next(200.0) == Resolve()
    peering.resolved((NEW,), 200.0)
    assert peering.next(200.0) == SetPeer(NEW, fresh=False)


def test_addresses_of_a_name_take_turns(peering):
    peering.resolved((OLD, NEW), 0.0)
    assert peering.next(0.0) == SetPeer(OLD, fresh=False)
    peering.resolved((OLD, NEW), 5.0)
    assert peering.next(5.0) == SetPeer(NEW, fresh=False)
    peering.resolved((OLD, NEW), 10.0)
    assert peering.next(10.0) == SetPeer(OLD, fresh=False)


def test_a_peer_that_forgot_the_session_is_met_afresh(peering):
    connected(peering)
    now, sent = 1.0, 100
    while peering.state == CONNECTED and now < 100:
        sent += 200
        peering.checked(10.0, 100, sent, now)
        now += 2
    assert 6 <= now <= 12
    assert peering.next(now) == SetPeer(OLD, fresh=True)


def test_an_idle_tunnel_is_not_disturbed(peering):
    """Only keep-alives go out, and nothing answers them: that is how it should be."""
    connected(peering)
    for second in range(1, 121):
        peering.checked(float(second), 100, 100 + 32 * (second // 25), float(second))
    assert peering.state == CONNECTED


def test_fresh_starts_are_spaced_and_bounded(peering):
    connected(peering)
    times, sent, now = [], 100, 0.0
    while now < 600:
        now += 0.5
        sent += 100
        peering.checked(10.0, 100, sent, now)
        action = peering.next(now)
        if action == SetPeer(OLD, fresh=True):
            times.append(now)
        elif action == Resolve():
            peering.resolved((OLD,), now)
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert pauses[0] < 15 and max(pauses) <= FRESH_MAX + 10
    assert len(times) < 25


def test_provisioning_goes_before_the_manifest():
    manifest = {"peer_endpoint": "a.example:1", "peer_public_key": "A", "keep_alive": 5}
    assert peer_settings(manifest, {}) == PeerSettings("a.example", 1, "A", 5)
    found = peer_settings(manifest, {"peer_endpoint": "[2001:db8::1]:2", "peer_public_key": "B"})
    assert found == PeerSettings("2001:db8::1", 2, "B", 5)
    assert peer_settings({}, {}) is None
