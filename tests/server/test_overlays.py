"""Overlays on real and simulated devices: laid over, seen, taken away; of a device and of a group."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from kos.build import overlay_zip
from kos.build.manifest_zip import ManifestZip
from kos.keys import signing
from kos.manifest import overlay
from kos.services.admin import delta
from tests.server import real
from tests.server.archives import archive
from tests.server.devices import Park
from tests.server.running import Server, wait_for

pytestmark = pytest.mark.group("server")

ENDS = ("healthy", "reverted", "failed")


class Board:
    """One device of a server, as a test sees it."""

    def __init__(self, client: httpx.Client, path: str) -> None:
        self.client, self.path = client, path
        wait_for(lambda: client.get(path).is_success, "the device appears")

    def state(self) -> dict[str, Any]:
        return self.client.get(self.path).json()

    def want(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask for something; what the device says in the end."""
        answer = self.client.put(f"{self.path}/{what}", json=body)
        assert answer.is_success, answer.text
        version = answer.json()["desired_version"]
        return wait_for(
            lambda: (
                (now := self.state())["update_version"] == version and now["update_state"] in ENDS and now
            ),
            "the device says what became of it",
        )


def upload(client: httpx.Client, document: dict[str, Any], name: str = "lab") -> dict[str, Any]:
    answer = client.post("/api/v1/overlays", json={"name": name, "document": document})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_overlay_of_a_real_device(studio: Server, tmp_path: Path) -> None:
    with studio.client() as client, real.device(tmp_path, studio.bus_port, pump=real.RATED) as system:
        board = Board(client, system.path)
        system.wait_for("pump turns at no rate 1.0")
        fast = upload(client, {"apps": {"pump": {"environ": {"RATE": "five"}}}, "settings": {"heartbeat": 1}})
        refused = client.put(f"{board.path}/overlay", json={"overlay_id": fast["id"]})
        assert refused.status_code == 400 and "never uploaded" in refused.json()["detail"]

        second = real.archive(tmp_path, "2.0", real.RATED)
        release = client.post("/api/v1/releases", content=second.read_bytes()).json()
        board.want("release", {"release_id": release["id"]})
        steady = system.status()["apps"]["steady"]["pid"]
        assert not differences(studio), "what ran before was never uploaded: nothing to differ from"

        after = board.want("overlay", {"overlay_id": fast["id"]})
        assert after["update_state"] == "healthy", after["update_reason"]
        system.wait_for("pump turns at five 2.0")
        assert after["running"] == release["manifest"] and after["running_overlay"] == fast["sha256"]

        # An app added and another one replaced, with their images.
        changed = real.project(tmp_path / "changed", "2.0", real.RATED.replace("turns", "spins"))
        (changed / "valve").mkdir()
        for source in (changed / "steady").iterdir():
            (changed / "valve" / source.name.replace("steady", "valve")).write_text(
                source.read_text().replace("steady", "valve")
            )
        text = (changed / "system.py").read_text()
        added = (
            'App("valve", PythonImage("valve"))).connect_protocol("valve", Poukai.log)\n'
            '        ctx = ctx.put_app(App("steady"'
        )
        (changed / "system.py").write_text(text.replace('App("steady"', added, 1))
        big = upload_archive(client, "big", between(second, changed, tmp_path))
        after = board.want("overlay", {"overlay_id": big["id"]})
        assert after["update_state"] == "healthy", after["update_reason"]
        system.wait_for("pump spins at no rate 2.0")
        assert system.status()["apps"]["valve"]["state"] == "running"
        assert client.delete(f"/api/v1/overlays/{big['id']}").status_code == 409
        # What it replaces goes over the wire as a difference to the release's; what is new goes whole.
        images = [pump_of(second), big["document"]["apps"]["pump"]["image"]["sha256"]]
        assert differences(studio) == {(images[0], images[1])}

        # From one overlay to the next it is the difference between the two.
        changed = real.project(tmp_path / "again", "2.0", real.RATED.replace("turns", "hums"))
        again = upload_archive(client, "again", between(second, changed, tmp_path))
        assert board.want("overlay", {"overlay_id": again["id"]})["update_state"] == "healthy"
        system.wait_for("pump hums at no rate 2.0")
        images.append(again["document"]["apps"]["pump"]["image"]["sha256"])
        assert differences(studio) == {(images[0], images[1]), (images[1], images[2])}

        after = board.want("overlay", {"overlay_id": None})
        assert after["running_overlay"] is None and after["running"] == release["manifest"]
        assert "valve" not in system.status()["apps"]
        assert system.status()["apps"]["steady"]["pid"] == steady, "an app that no overlay named runs on"

        # The next release goes over the wire as a difference too.
        path = real.archive(tmp_path, "3.0", real.RATED)
        third = client.post("/api/v1/releases", content=path.read_bytes()).json()
        assert board.want("release", {"release_id": third["id"]})["update_state"] == "healthy"
        system.wait_for("pump turns at no rate 3.0")
        assert (images[0], pump_of(path)) in differences(studio)


def upload_archive(client: httpx.Client, name: str, content: bytes) -> dict[str, Any]:
    answer = client.post(f"/api/v1/overlays/archive?name={name}", content=content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def pump_of(archive: Path) -> str:
    """The image of an app of a release."""
    with ManifestZip(archive) as opened:
        return opened.manifest.apps["pump"].image.sha256


def differences(server: Server) -> set[tuple[str, ...]]:
    """The pairs of blobs that a difference was made of, each of which saves a lot."""
    made = list((server.settings.blobs / "deltas").glob("*"))
    assert all(0 < one.stat().st_size < 500 for one in made), "a changed line is a small difference"
    return {tuple(one.name.split("-")) for one in made}


def between(base: Path, project: Path, folder: Path) -> bytes:
    """The archive of an overlay that makes one built system into another."""
    built, target = folder / f"{project.name}.zip", folder / f"{project.name}-overlay.zip"
    real.builder(project).build().write(built)
    with ManifestZip(base) as old, ManifestZip(built) as new:
        document = overlay.difference(old.manifest, new.manifest)
        blobs = {}
        for sha256 in overlay.blobs_of(document):
            blobs[sha256] = folder / sha256
            with blobs[sha256].open("wb") as file:
                new.copy_blob(sha256, file)
    overlay_zip.write(target, document, blobs)
    return target.read_bytes()


def test_an_overlay_of_a_group(fleet: Server, devices: Park, tmp_path: Path) -> None:
    client = fleet.login()
    made = devices.add(3, fleet.bus_port, salt="overlays")
    release = client.post("/api/v1/releases", content=archive(tmp_path, "5.0").read_bytes()).json()

    def state(number: int) -> dict[str, Any]:
        return client.get(f"/api/v1/devices/{made[number].id}").json()

    for number, device in enumerate(made):
        path = f"/api/v1/devices/{device.id}"
        wait_for(lambda path=path: client.get(path).is_success, "it waits")
        client.post(f"{path}/accept").raise_for_status()
        client.patch(path, json={"tags": ["overlaid"] if number else []}).raise_for_status()
        client.put(f"{path}/release", json={"release_id": release["id"]}).raise_for_status()
    lab = upload(client, {"settings": {"console": False}}, "group")
    own = upload(client, {"settings": {"heartbeat": 5}}, "own")
    client.put(f"/api/v1/devices/{made[2].id}/overlay", json={"overlay_id": own["id"]}).raise_for_status()
    group = client.post("/api/v1/groups", json={"name": "overlaid", "query": "tag:overlaid"}).json()
    path = f"/api/v1/groups/{group['id']}/overlay"
    client.put(path, json={"overlay_id": lab["id"]}).raise_for_status()
    wait_for(lambda: state(1)["overlay_id"] == lab["id"], "the group's device has it")
    assert state(2)["overlay_id"] == own["id"], "what a person chose for a device stays"
    assert state(0)["overlay_id"] is None
    client.patch(f"/api/v1/devices/{made[0].id}", json={"tags": ["overlaid"]}).raise_for_status()
    wait_for(lambda: state(0)["overlay_id"] == lab["id"], "a device that joins later has it")
    client.patch(f"/api/v1/devices/{made[1].id}", json={"tags": []}).raise_for_status()
    wait_for(lambda: state(1)["overlay_id"] is None, "a device that leaves loses it")
    wait_for(lambda: state(0)["running_overlay"] == lab["sha256"], "the device says so")
    assert client.delete(f"/api/v1/overlays/{lab['id']}").status_code == 409
    assert client.delete(f"/api/v1/groups/{group['id']}").status_code == 204
    wait_for(lambda: state(0)["overlay_id"] is None, "without the group there is no overlay")


def test_wrong_overlays_are_refused(studio: Server, tmp_path: Path) -> None:
    def files() -> set[Path]:
        return {path for path in studio.settings.blobs.rglob("*") if path.is_file()}

    before = files()
    data = overlay.canonical({"settings": {"heartbeat": 5}})
    wrong = json.loads(signing.sign(b"something else", bytes(32), overlay.CONTEXT))
    of_a_release = json.loads(signing.sign(data, bytes(32)))
    with studio.client() as client:
        listed = client.get("/api/v1/overlays").json()
        for document, signatures in (
            ({"settings": {"heartbeat": "often"}}, []),
            ({"settings": {"colour": 1}}, []),
            ({"apps": {"x": {"image": {"kind": "python", "sha256": "a" * 64, "size": 1}}}}, []),
            ({"settings": {"heartbeat": 5}}, [{"name": "k", "document": wrong}]),
            ({"settings": {"heartbeat": 5}}, [{"name": "k", "document": of_a_release}]),
            ({"settings": {"heartbeat": 5}}, [{"document": {}}]),
        ):
            body = {"name": "x", "document": document, "signatures": signatures}
            assert client.post("/api/v1/overlays", json=body).status_code == 400
        for content in (b"", b"PK", archive(tmp_path, "1.0").read_bytes()):
            answer = client.post("/api/v1/overlays/archive?name=x", content=content)
            assert answer.status_code == 400, answer.text
        assert client.get("/api/v1/overlays").json() == listed
    assert files() == before


def test_a_difference_that_does_not_fit_is_refused() -> None:
    for difference in (b"", b"\x28\xb5\x2f\xfd" + b"\xff" * 40, b"x" * 1000):
        with pytest.raises(Exception, match="does not fit"):
            delta.patch(b"old" * 1000, difference, 3000)
