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


def test_upgrade_and_revert(studio: Server, tmp_path: Path) -> None:
    with studio.client() as client, real.device(tmp_path, studio.bus_port) as system:
        path = system.path
        wait_for(lambda: client.get(path).is_success, "the device appears")

        def state() -> dict[str, Any]:
            return client.get(path).json()

        def update(wanted: dict[str, Any]) -> dict[str, Any]:
            version = client.put(f"{path}/release", json={"release_id": wanted["id"]}).json()[
                "desired_version"
            ]
            ends = ("healthy", "reverted", "failed")
            return wait_for(
                lambda: (now := state())["update_version"] == version and now["update_state"] in ends and now,
                "the device says what became of it",
            )

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
        after = update(good)
        assert after["update_state"] == "healthy", after["update_reason"]
        assert after["running"] == good["manifest"] and after["generation"] == 2
        system.wait_for("pump 2.0 turns")
        assert system.status()["apps"]["steady"]["pid"] == pid, "an app that did not change runs on"

        after = update(upload(client, real.archive(tmp_path, "3.0", real.BAD)))
        assert after["update_state"] == "reverted"
        assert "pump" in after["update_reason"]
        assert after["running"] == good["manifest"] and after["generation"] == 2
        wait_for(lambda: state()["apps"]["pump"]["state"] == "running", "the old pump runs again")
        assert system.status()["apps"]["steady"]["pid"] == pid
