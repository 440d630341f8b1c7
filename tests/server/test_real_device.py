"""A real system under Studio: seen, restarted, upgraded live, and back from a release that does not work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import real
from tests.server.running import Server, wait_for

pytestmark = pytest.mark.group("server")


def upload(client: httpx.Client, path: Path) -> dict[str, Any]:
    answer = client.post("/api/v1/releases", content=path.read_bytes())
    assert answer.status_code == 201, answer.text
    return answer.json()


def update(client: httpx.Client, path: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Upgrade a device; what it says in the end."""
    answer = client.put(f"{path}/release", json={"release_id": wanted["id"]})
    return carried_out(client, path, answer.json()["desired_version"])


def carried_out(client: httpx.Client, path: str, version: int) -> dict[str, Any]:
    """The device, once it says what became of the version that it should be."""
    ends = ("healthy", "reverted", "failed")
    return wait_for(
        lambda: (
            (now := client.get(path).json())["update_version"] == version
            and now["update_state"] in ends
            and now
        ),
        "the device says what became of it",
    )


def test_upgrade_and_revert(studio: Server, tmp_path: Path) -> None:
    with studio.client() as client, real.device(tmp_path, studio.bus_port) as system:
        path = system.path
        wait_for(lambda: client.get(path).is_success, "the device appears")

        def state() -> dict[str, Any]:
            return client.get(path).json()

        wait_for(lambda: state()["apps"].get("pump", {}).get("state") == "running", "it runs")
        assert state()["name"] == system.name and state()["generation"] == 1
        graph = client.get(f"{path}/graph").json()
        assert graph["apps"]["pump"]["state"] == "running"
        pid = system.status()["apps"]["steady"]["pid"]
        client.post(f"{path}/restart", json={"app": "pump"}).raise_for_status()
        system.wait_for("pump 1.0 turns", times=2)
        refused = client.post(f"{path}/restart", json={"app": "nobody"})
        assert refused.status_code == 400 and "nobody" in refused.json()["detail"]

        good = upload(client, real.archive(tmp_path, "2.0"))
        after = update(client, path, good)
        assert after["update_state"] == "healthy", after["update_reason"]
        assert after["running"] == good["manifest"] and after["generation"] == 2
        system.wait_for("pump 2.0 turns")
        assert system.status()["apps"]["steady"]["pid"] == pid, "an app that did not change runs on"

        after = update(client, path, upload(client, real.archive(tmp_path, "3.0", real.BAD)))
        assert after["update_state"] == "reverted"
        assert "pump" in after["update_reason"]
        assert after["running"] == good["manifest"] and after["generation"] == 2
        wait_for(lambda: state()["apps"]["pump"]["state"] == "running", "the old pump runs again")
        assert system.status()["apps"]["steady"]["pid"] == pid


def test_a_new_run_is_what_was_built_last(studio: Server, tmp_path: Path) -> None:
    """Its state is in the folder of the run: an upgrade of the run before does not follow it."""
    with studio.client() as client:
        with real.device(tmp_path / "first", studio.bus_port) as system:
            path = system.path
            wait_for(lambda: client.get(path).is_success, "the device appears")
            before = update(client, path, upload(client, real.archive(tmp_path, "2.0")))
            assert before["update_state"] == "healthy" and before["release_id"] is not None
            system.wait_for("pump 2.0 turns")
        keys = tmp_path / "first/run/keys"
        with real.device(tmp_path / "second", studio.bus_port, "1.1", keys=keys) as system:
            assert system.path == path, "it is the same device"
            system.wait_for("pump 1.1 turns")
            # It has heard what the server wants of it now, which is nothing more than it is.
            after = carried_out(client, path, before["desired_version"] + 1)
            assert after["release_id"] is None and after["generation"] == 1
            assert after["running"] not in (None, before["running"])
            assert not any("pump 2.0" in line for line in system.lines)
            # And it can be upgraded as ever.
            again = update(client, path, upload(client, real.archive(tmp_path, "2.1")))
            assert again["update_state"] == "healthy", again["update_reason"]
            system.wait_for("pump 2.1 turns")
