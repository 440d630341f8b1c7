"""Five real systems through a rollout that goes well and one that must stop itself; nothing is bricked."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.server import real
from tests.server.running import PASSWORD, running, wait_for

pytestmark = [pytest.mark.group("server"), pytest.mark.timeout(600)]

DEVICES = 5
ENDS = ("done", "stopped", "aborted")


def test_a_bad_release_stops_and_everybody_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOS_SERVER_ADMIN_PASSWORD", PASSWORD)
    options: dict[str, Any] = {"product": "fleet", "auto_accept": True, "heartbeat": 2.0}
    with running(tmp_path / "server", **options) as server, contextlib.ExitStack() as stack:
        client = server.login()
        systems = []
        for number in range(DEVICES):
            folder = tmp_path / f"device-{number}"
            folder.mkdir()
            systems.append(stack.enter_context(real.device(folder, server.bus_port)))

        def devices() -> list[dict[str, Any]]:
            return client.get("/api/v1/devices", params={"query": "online:true system:pump"}).json()[
                "devices"
            ]

        wait_for(lambda: len(devices()) == DEVICES, "all devices are there")
        steady = wait_for(
            lambda: all(pids := [system.status()["apps"]["steady"]["pid"] for system in systems]) and pids,
            "all apps are started",
        )

        def roll_out(archive: Path) -> dict[str, Any]:
            release = client.post("/api/v1/releases", content=archive.read_bytes()).json()
            plan = {"phases": ["1", "100%"], "parallel": 3, "max_failures": 1, "device_timeout": 120}
            body = {"name": archive.stem, "release_id": release["id"], "plan": plan}
            path = f"/api/v1/rollouts/{client.post('/api/v1/rollouts', json=body).json()['id']}"
            ended = wait_for(
                lambda: (now := client.get(path).json())["state"] in ENDS and now, "it ends", 240
            )
            return {**ended, "manifest": release["manifest"]}

        good = roll_out(real.archive(tmp_path, "2.0"))
        assert good["state"] == "done" and good["counts"] == {"healthy": DEVICES}
        bad = roll_out(real.archive(tmp_path, "3.0", real.BAD))
        assert bad["state"] == "stopped"
        assert bad["counts"] == {"reverted": 1, "pending": DEVICES - 1}, (
            "one device tried it, and nobody else"
        )
        wait_for(
            lambda: (
                len(found := devices()) == DEVICES
                and all(one["running"] == good["manifest"] and one["healthy"] for one in found)
            ),
            "everybody runs the good release",
        )
        assert [system.status()["apps"]["steady"]["pid"] for system in systems] == steady
