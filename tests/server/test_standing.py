"""Devices that appear after a rollout is done: a standing one brings them to its release, no other does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from kos.abi.errors import KosError
from kos.server.core.db.database import Database
from kos.server.core.db.models import Device, Organisation, Release, Rollout, RolloutDevice, now
from kos.server.fleet import standing
from kos.server.fleet.plan import Plan
from kos.services.admin.simulator import Behaviour
from tests.server.archives import archive
from tests.server.devices import Park
from tests.server.running import Server, wait_for
from tests.server.test_fleet import ended, join, upload

pytestmark = pytest.mark.group("server")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'x.db'}")
    made.migrate()
    with made.write() as session:
        session.add(Organisation(id=1, slug="default", name="", created_at=now()))
        session.flush()
        for number in (1, 2, 3):
            session.add(
                Release(
                    id=number,
                    organisation_id=1,
                    manifest=f"{number}" * 64,
                    manifest_size=1,
                    system="pump",
                    version=f"{number}.0",
                    platform="host",
                    apps=[],
                    signatures=[],
                    signers=[],
                    assurance={},
                    size=1,
                    uploaded_by="",
                    created_at=now(),
                )
            )
    yield made
    made.close()


def device(database: Database, number: int, **more: Any) -> str:
    values = {"status": "accepted", "platform": "host", "tags": ["lab"], **more}
    with database.write() as session:
        row = Device(
            id=f"{number}" * 32,
            organisation_id=1,
            public_key="U",
            name=str(number),
            created_at=now(),
            **values,
        )
        session.add(row)
        return row.id


def rollout(database: Database, release: int, members: dict[str, str] | None = None, **more: Any) -> int:
    plan = asdict(Plan(standing=more.pop("standing", True)))
    values = {"state": "done", "target": "tag:lab", "finished_at": now(), **more}
    with database.write() as session:
        row = Rollout(
            organisation_id=1,
            name="",
            release_id=release,
            plan=plan,
            phase_at=now(),
            created_by="",
            created_at=now(),
            **values,
        )
        session.add(row)
        session.flush()
        for identity, state in (members or {}).items():
            session.add(
                RolloutDevice(rollout_id=row.id, device_id=identity, phase=0, state=state, since=now())
            )
        return row.id


def joined(database: Database) -> dict[int, set[str]]:
    """What one look puts where."""
    with database.read() as session:
        expected = standing.waiting(session)
        before = set(session.execute(select(RolloutDevice.rollout_id, RolloutDevice.device_id)).all())
    with database.write() as session:
        standing.reopen(session)
    found: dict[int, set[str]] = {}
    with database.read() as session:
        for one in session.execute(select(RolloutDevice.rollout_id, RolloutDevice.device_id)).all():
            if one not in before:
                found.setdefault(one[0], set()).add(one[1])
    assert expected == bool(found)
    return found


def test_the_newest_standing_rollout_takes_a_new_device(database: Database) -> None:
    rollout(database, 1)
    newest = rollout(database, 2)
    rollout(database, 3, target="tag:other")
    rollout(database, 3, standing=False)
    new = device(database, 1)
    assert joined(database) == {newest: {new}}
    assert joined(database) == {}, "once"


def test_priority_counts_more_than_age(database: Database) -> None:
    first = rollout(database, 1, priority=5)
    rollout(database, 2)
    assert joined(database) == {}
    new = device(database, 1)
    assert joined(database) == {first: {new}}


@pytest.mark.parametrize("state", ["stopped", "aborted"])
def test_one_that_ended_badly_does_not_stand(database: Database, state: str) -> None:
    rollout(database, 1, state=state)
    device(database, 1)
    assert joined(database) == {}


def test_who_is_left_alone(database: Database) -> None:
    device(database, 1, release_id=3)  # a person's choice
    device(database, 2, status="pending")
    device(database, 3, platform="")  # has not said what it is
    device(database, 4, platform="qemu-arm-virt")
    device(database, 5, tags=[])
    tried = device(database, 6)
    rollout(database, 1, {tried: "reverted"})
    assert joined(database) == {}


def test_one_that_comes_into_the_group_later_gets_its_release(database: Database) -> None:
    moved = device(database, 1, release_id=1)
    rollout(database, 1, {moved: "healthy"}, target="tag:shed")
    group = rollout(database, 2)
    assert joined(database) == {group: {moved}}


def test_one_that_had_something_newer_does_not_go_back(database: Database) -> None:
    ahead = device(database, 1, release_id=3)
    rollout(database, 1)
    rollout(database, 3, {ahead: "healthy"}, standing=False, target="id:1")
    assert joined(database) == {}


def test_a_standing_rollout_takes_late_joiners() -> None:
    with pytest.raises(KosError, match="late joiners"):
        Plan(standing=True, late_joiners=False)


def test_a_device_that_joins_after_the_end(fleet: Server, devices: Park, tmp_path: Path) -> None:
    client = fleet.login()
    join(fleet, client, devices, 2, "early", Behaviour(step=0.01))
    release = upload(client, archive(tmp_path, "8.0"))
    body: dict[str, Any] = {"name": "standing", "release_id": release["id"], "target": "name:sim-*"}
    body["plan"] = {"phases": ["100%"], "standing": True, "max_failures": 1}
    number = client.post("/api/v1/rollouts", json=body).json()["id"]
    assert ended(client, number)["counts"] == {"healthy": 2}
    # Simulated devices are called by their number alone: these come on top by their keys.
    late = join(fleet, client, devices, 3, "late", Behaviour(step=0.01))
    path = f"/api/v1/rollouts/{number}"
    wait_for(lambda: client.get(path).json()["counts"] == {"healthy": 5}, "they get the release")
    assert [one.installs for one in late] == [1, 1, 1]
    assert ended(client, number)["state"] == "done"

    bad = join(fleet, client, devices, 1, "unlucky", Behaviour(step=0.01, verdict=lambda _: "reverted"))
    wait_for(lambda: client.get(path).json()["state"] == "stopped", "its own limit of failures holds")
    assert bad[0].installs == 1
    client.post(f"{path}/resume").raise_for_status()
    ended(client, number)
    assert client.post(f"{path}/retire").json()["plan"]["standing"] is False
    assert client.post(f"{path}/retire").status_code == 409
    engine = fleet.services.rollouts
    (last,) = join(fleet, client, devices, 1, "after", Behaviour(step=0.01))
    asyncio.run(asyncio.to_thread(engine._reopen))
    assert client.get(f"/api/v1/devices/{last.id}").json()["release_id"] is None
