"""Commands that look into a device through its server: found by any name, traced, refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.server import real
from tests.server.running import Server, wait_for
from tests.tool.running import going_on, kos_tool
from tests.tracing import talkers
from tests.tracing.chrome import check_document

pytestmark = pytest.mark.group("server")


def test_a_device_is_traced_through_its_server(studio: Server, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    with real.device(tmp_path, studio.bus_port, builder=talkers.build(tmp_path)) as system:
        system.wait_for("wx                 | talking")
        with studio.client() as client:
            wait_for(lambda: client.get(system.path).is_success, "the device appears")
        place = ("--device", system.name, "--server", studio.url)

        def traced() -> tuple[list[dict[str, Any]], dict[str, int]]:
            done = kos_tool("trace", *place, "--seconds", "1.5", "--output", file)
            assert done.returncode == 0, done.stderr
            assert done.stdout.split()[:4] == ["app", "port", "calls", "served"]
            document = json.loads(file.read_text())
            check_document(document)
            events = document["traceEvents"]
            return events, {
                one["args"]["name"]: one["pid"] for one in events if one["name"] == "process_name"
            }

        def all_seen() -> bool:
            """A trace in which an app that does nothing sleeps and two speak; records come when they come."""
            events, names = traced()
            ends = {one["id"]: one["pid"] for one in events if one["ph"] == "f"}
            arrows = {(one["pid"], ends[one["id"]]) for one in events if one["ph"] == "s"}
            sleeps = any(one["ph"] == "B" and one["pid"] == names.get("key_store") for one in events)
            return sleeps and (names.get("wx"), names.get("station")) in arrows

        wait_for(all_seen, "the key store sleeps, and wx speaks to the station")

        def of_wx() -> dict[str, Any]:
            done = kos_tool("trace", *place, "--seconds", "1", "--app", "wx", "--json")
            return json.loads(done.stdout)

        found = wait_for(lambda: (now := of_wx())["apps"].get("wx", {}).get("calls") and now, "wx calls")
        assert list(found["apps"]) == ["wx"]
        assert found["ports"][0]["port"] == "weather_protocol"
        with going_on("trace", *place, output=tmp_path / "traced") as trace:
            trace.until_printed("tracing; Ctrl-C ends it")
            assert trace.interrupt() == 0
        done = kos_tool("trace", "here", *place)
        assert done.returncode == 1 and "not both" in done.stderr


def test_a_name_with_spaces_and_what_a_device_refuses(studio: Server, tmp_path: Path) -> None:
    with real.device(tmp_path, studio.bus_port) as system, studio.client() as client:
        system.wait_for("pump 1.0 turns")
        wait_for(lambda: client.get(system.path).json().get("apps", {}).get("pump"), "it reports")
        client.patch(system.path, json={"name": 'pump "7" of *  Café'}).raise_for_status()
        place = ("--device", 'pump "7" of *  Café', "--server", studio.url)
        done = kos_tool("toolbox.remote_shell", "pump", *place, "-c", "speed + 1")
        assert done.returncode == 0 and "13" in done.stdout, done.stderr
        done = kos_tool("toolbox.remote_shell", "steady", *place, "-c", "1")
        assert done.returncode == 1 and "debug=True" in done.stderr
        done = kos_tool("trace", *place, "--seconds", "1")
        assert done.returncode == 1 and "Poukai(tracing=True)" in done.stderr
        done = kos_tool("trace", "--device", "nobody", "--server", studio.url)
        assert done.returncode == 1 and "no device called 'nobody'" in done.stderr
