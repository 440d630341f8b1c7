"""Which addresses and keys belong to which device, and who may use the gateway."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.server.core.auth.permissions import ROLES, Principal
from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, Organisation, now
from kos.server.core.devices import actions, tunnels
from kos.server.core.devices.login import enrol
from kos.server.core.devices.tunnels import Networks, allowed, set_tunnel
from kos.server.core.problems import Conflict

pytestmark = pytest.mark.group("server")

GATEWAY = IPv4Interface("10.90.0.1/16")
KEY, OTHER = bytes(32).hex(), bytes([1] * 32).hex()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    database.migrate()
    with database.write() as session:
        session.add(Organisation(slug="default", name="Default", created_at=now()))
        session.flush()
        yield session
    database.close()


@pytest.fixture
def principal() -> Principal:
    return Principal("somebody", 1, "admin", ROLES["admin"])


def device_of(session: Session, status: str) -> Device:
    device = enrol(session, os.urandom(32), status)
    session.flush()
    return device


def networks_of(session: Session) -> Networks:
    return Networks(session, GATEWAY)


def test_free_addresses_overlap_nobodys(session, principal):
    networks = networks_of(session)
    named = networks.take("a", "10.90.0.32/27")
    taken = [named, *(networks.take(f"{n}", "") for n in range(50))]
    assert taken[1] == IPv4Network("10.90.0.16/28")  # the gateway's own are the first
    assert taken[2] == IPv4Network("10.90.0.64/28")
    for number, one in enumerate(taken):
        assert GATEWAY.ip not in one and one.subnet_of(GATEWAY.network)
        assert not any(one.overlaps(other) for other in taken[:number])


def test_addresses_run_out(session):
    networks = Networks(session, IPv4Interface("10.90.0.1/27"))
    networks.take("a", "")
    with pytest.raises(KosError, match="no addresses are left"):
        networks.take("b", "")


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ("10.90.0.0/28", "is taken"),
        ("10.91.0.0/28", "outside the gateway's network"),
        ("10.90.0.1/28", "expected a network"),
        ("0.0.0.0/0", "outside the gateway's network"),
        ("nonsense", "expected a network"),
    ],
)
def test_addresses_that_nobody_gets(session, wanted, error):
    with pytest.raises(KosError, match=error):
        networks_of(session).take("a", wanted)


def test_a_key_belongs_to_one_device(session, principal):
    networks = networks_of(session)
    set_tunnel(session, principal, networks, "a" * 32, KEY, "")
    with pytest.raises(Conflict, match="another device's"):
        set_tunnel(session, principal, networks, "b" * 32, KEY, "")
    with pytest.raises(Conflict, match="is taken"):
        set_tunnel(session, principal, networks, "b" * 32, OTHER, "10.90.0.16/28")
    # The same again, and another key for the same device, keep its addresses.
    assert set_tunnel(session, principal, networks, "a" * 32, OTHER, "").network == "10.90.0.16/28"


@pytest.mark.parametrize("key", ["", "x" * 44, "g" * 64, "ab" * 31])
def test_what_is_no_key(key):
    with pytest.raises(KosError, match="tunnel's public key"):
        tunnels.parse_key(key)


def test_only_accepted_and_announced_devices_may_use_the_gateway(session, principal):
    networks = networks_of(session)
    made = {status: device_of(session, status) for status in ("accepted", "pending", "rejected", "revoked")}
    for number, device in enumerate(made.values()):
        set_tunnel(session, principal, networks, device.id, bytes([9] * 31 + [number]).hex(), "")
    key = nkey.encode(os.urandom(32))
    actions.announce(session, principal, key, "", [])
    announced = nkey.device_id(nkey.decode(key))
    set_tunnel(session, principal, networks, announced, KEY, "")
    set_tunnel(session, principal, networks, "0" * 32, OTHER, "")  # of nobody whom we know
    session.flush()
    assert {peer.device for peer in allowed(session)} == {made["accepted"].id, announced}


def test_a_new_identity_keeps_its_tunnel(session, principal):
    device = device_of(session, "accepted")
    set_tunnel(session, principal, networks_of(session), device.id, KEY, "10.90.3.0/28")
    successor = actions.rotate(session, principal, device, nkey.encode(os.urandom(32)))
    session.flush()
    (peer,) = allowed(session)
    assert peer.device == successor.id and peer.addresses == (IPv4Network("10.90.3.0/28"),)
