"""Fleet from end to end: people, devices that wait, releases, rollouts over simulated devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from kos.abi import nkey
from kos.services.admin.simulator import Behaviour
from tests.server.archives import archive
from tests.server.devices import Park
from tests.server.running import Server, wait_for

pytestmark = pytest.mark.group("server")


def upload(client: httpx.Client, path: Path) -> dict[str, Any]:
    answer = client.post("/api/v1/releases", content=path.read_bytes())
    assert answer.status_code == 201, answer.text
    return answer.json()


def join(
    server: Server, client: httpx.Client, devices: Park, count: int, salt: str, behaviour: Behaviour
) -> list[Any]:
    """Devices that were announced, tagged with `salt`, connected and known to the server."""
    from kos.services.admin.simulator import fleet

    keys = [
        {"public_key": nkey.encode(one.identity.public_key), "name": one.name, "tags": [salt]}
        for one in fleet(count, "127.0.0.1", server.bus_port, behaviour, salt)
    ]
    assert client.post("/api/v1/keys", json={"keys": keys}).status_code == 201
    made = devices.add(count, server.bus_port, behaviour, salt)
    query = {"query": f"tag:{salt} online:true platform:host", "limit": 1}
    wait_for(
        lambda: client.get("/api/v1/devices", params=query).json()["total"] == count, "the devices are online"
    )
    return made


def ended(client: httpx.Client, number: int) -> dict[str, Any]:
    path = f"/api/v1/rollouts/{number}"
    ends = ("done", "stopped", "aborted")
    return wait_for(lambda: (found := client.get(path).json())["state"] in ends and found, "the rollout ends")


def test_a_device_waits_for_a_person(fleet: Server, devices: Park) -> None:
    (device,) = devices.add(1, fleet.bus_port, salt="waits")
    client = fleet.login()
    path = f"/api/v1/devices/{device.id}"
    wait_for(lambda: client.get(path).is_success and client.get(path).json()["platform"], "it shows up")
    assert client.get(path).json()["status"] == "pending"
    assert not device.joined.is_set()
    assert client.post(f"{path}/accept").json()["status"] == "accepted"
    wait_for(device.joined.is_set, "it is let in without being started anew")
    assert client.post(f"{path}/reject").status_code == 400
    client.post(f"{path}/revoke").raise_for_status()
    wait_for(lambda: not device.joined.is_set(), "its live session ends")
    assert client.post(f"{path}/accept").status_code == 400, "a revoked key never comes back"


def test_a_device_is_claimed_by_its_code(fleet: Server, devices: Park) -> None:
    (device,) = devices.add(1, fleet.bus_port, salt="claimed")
    client = fleet.login()
    path = f"/api/v1/devices/{device.id}"
    wait_for(lambda: client.get(path).is_success, "it shows up")
    assert client.post("/api/v1/claims", json={"code": "AAAAA-AAAAA"}).status_code == 404
    code = nkey.claim_code(device.identity.public_key)
    assert client.post("/api/v1/claims", json={"code": code.lower()}).json()["id"] == device.id
    wait_for(device.joined.is_set, "it is let in")


def test_a_good_release_reaches_all_in_phases(fleet: Server, devices: Park, tmp_path: Path) -> None:
    client = fleet.login()
    made = join(fleet, client, devices, 20, "good", Behaviour(step=0.01, fetch=True))
    release = upload(client, archive(tmp_path, "2.0"))
    assert upload(client, archive(tmp_path, "2.0"))["id"] == release["id"], "the same bytes, the same release"
    assert release["assurance"]["findings"] == [], "a system of Poukai alone has none"
    plan = {"phases": ["2", "50%", "100%"], "parallel": 4}
    body = {"name": "good", "release_id": release["id"], "target": "tag:good", "plan": plan}
    rollout = client.post("/api/v1/rollouts", json=body).json()
    found = ended(client, rollout["id"])
    assert found["state"] == "done" and found["counts"] == {"healthy": 20}
    assert all(device.release == release["manifest"] and device.installs == 1 for device in made)
    entries = client.get(f"/api/v1/rollouts/{rollout['id']}/devices").json()
    assert sorted(entry["phase"] for entry in entries) == [0] * 2 + [1] * 8 + [2] * 10


def test_a_bad_release_stops_itself(fleet: Server, devices: Park, tmp_path: Path) -> None:
    client = fleet.login()
    bad = archive(tmp_path, "3.0-bad")
    behaviour = Behaviour(step=0.01, verdict=lambda _release: "reverted")
    made = join(fleet, client, devices, 20, "bad", behaviour)
    release = upload(client, bad)
    body = {
        "name": "bad",
        "release_id": release["id"],
        "target": "tag:bad",
        "plan": {"phases": ["25%", "100%"], "max_failures": 2, "parallel": 2},
    }
    rollout = client.post("/api/v1/rollouts", json=body).json()
    found = ended(client, rollout["id"])
    assert found["state"] == "stopped" and "limit is 2" in found["reason"]
    touched = sum(device.installs for device in made)
    assert touched <= 4, "no more than the limit and what was under way"
    entries = client.get(f"/api/v1/rollouts/{rollout['id']}/devices", params={"state": "reverted"}).json()
    assert entries and all(entry["reason"] == "self_test failed: sensor does not answer" for entry in entries)
    device = client.get(f"/api/v1/devices/{entries[0]['device_id']}").json()
    assert device["release_id"] is None, "what it had before is wanted again"
    assert device["running"] is None
    aborted = client.post(f"/api/v1/rollouts/{rollout['id']}/abort")
    assert aborted.json()["counts"].get("pending") is None


def test_a_silent_device_counts_as_failed(fleet: Server, devices: Park, tmp_path: Path) -> None:
    client = fleet.login()
    behaviour = Behaviour(step=0.01, verdict=lambda _release: "silent")
    join(fleet, client, devices, 3, "silent", behaviour)
    release = upload(client, archive(tmp_path, "4.0"))
    plan = {"phases": ["1", "100%"], "device_timeout": 2.0, "max_failures": 1}
    body = {"name": "silent", "release_id": release["id"], "target": "tag:silent", "plan": plan}
    found = ended(client, client.post("/api/v1/rollouts", json=body).json()["id"])
    assert found["state"] == "stopped" and found["counts"]["timed_out"] == 1


def test_pause_resume_and_rollback(fleet: Server, devices: Park, tmp_path: Path) -> None:
    client = fleet.login()
    made = join(fleet, client, devices, 6, "paused", Behaviour(step=0.01))
    old, new = upload(client, archive(tmp_path, "5.0")), upload(client, archive(tmp_path, "5.1"))
    body = {"name": "old", "release_id": old["id"], "target": "tag:paused", "plan": {"phases": ["100%"]}}
    assert ended(client, client.post("/api/v1/rollouts", json=body).json()["id"])["state"] == "done"
    body |= {"name": "new", "release_id": new["id"], "plan": {"phases": ["50%", "100%"], "soak": 3600}}
    path = f"/api/v1/rollouts/{client.post('/api/v1/rollouts', json=body).json()['id']}"
    wait_for(lambda: client.get(path).json()["counts"].get("healthy") == 3, "the first phase is done")
    assert client.post(f"{path}/pause").json()["state"] == "paused"
    assert client.post(f"{path}/pause").status_code == 409
    assert client.post(f"{path}/resume").json()["state"] == "running"
    assert sorted(device.release == new["manifest"] for device in made) == [False] * 3 + [True] * 3
    back = client.post(f"{path}/rollback").json()
    assert back["state"] == "aborted" and back["counts"] == {"rolled_back": 3, "withdrawn": 3}
    wait_for(lambda: all(device.release == old["manifest"] for device in made), "all have the old release")


def test_nobody_approves_his_own(fleet: Server, tmp_path: Path) -> None:
    client = fleet.login()
    release = upload(client, archive(tmp_path, "6.0"))
    body = {"name": "asked", "release_id": release["id"], "target": "tag:none", "plan": {"approval": True}}
    rollout = client.post("/api/v1/rollouts", json=body).json()
    assert rollout["state"] == "waiting"
    path = f"/api/v1/rollouts/{rollout['id']}/approve"
    assert client.post(path).status_code == 403
    person = {
        "email": "second@example.org",
        "name": "Second",
        "password": "a second password",
        "role": "deployer",
    }
    assert client.post("/api/v1/members", json=person).status_code == 201
    second = fleet.login("second@example.org", "a second password")
    assert second.post(path).json()["approved_by"] == "second@example.org"
    assert second.get("/api/v1/members").status_code == 403
