"""Studio: no log-in on this machine, devices appear by themselves, nothing for other sites."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.server.devices import Park
from tests.server.running import Server, wait_for

pytestmark = pytest.mark.group("server")


def test_device_appears_and_reports(studio: Server, devices: Park) -> None:
    (device,) = devices.add(1, studio.bus_port, salt="appears")
    with studio.client() as client:
        path = f"/api/v1/devices/{device.id}"
        found = wait_for(
            lambda: (answer := client.get(path)).is_success and answer.json()["apps"] and answer.json(),
            "the device reports its apps",
        )
        assert found["status"] == "accepted" and found["online"] and found["healthy"]
        assert found["apps"]["sensor"]["state"] == "running"
        assert device.id in client.get("/").text
        devices.call(device.stop)
        wait_for(lambda: not client.get(path).json()["online"], "the device is seen to leave")


def test_console_comes_live_and_stays(studio: Server, devices: Park) -> None:
    (device,) = devices.add(1, studio.bus_port, salt="console")
    wait_for(device.joined.is_set, "the device joins")
    with studio.client() as client:
        with client.stream("GET", f"/api/v1/devices/{device.id}/console") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: lines"
            assert json.loads(next(lines).removeprefix("data: ")) == []
            devices.call(device.say, [(1.5, "sensor", "first"), (1.6, "station", "second\u2028")])
            wanted = (line for line in lines if line.startswith("data: "))
            assert json.loads(next(wanted).removeprefix("data: "))[0] == [1.5, "sensor", "first", None]
        log = f"/api/v1/devices/{device.id}/log"
        wait_for(lambda: len(client.get(log).json()) == 2, "the lines are stored")
        assert [line["text"] for line in client.get(log, params={"app": "sensor"}).json()] == ["first"]


def test_telemetry_becomes_a_chart(studio: Server, devices: Park) -> None:
    (device,) = devices.add(1, studio.bus_port, salt="telemetry")
    wait_for(device.joined.is_set, "the device joins")
    at = 1_700_000_000_000
    devices.call(device.measure, [("sensor/temperature", at + number, float(number)) for number in range(50)])
    with studio.client() as client:
        base = f"/api/v1/devices/{device.id}"
        wait_for(lambda: "sensor/temperature" in client.get(f"{base}/series").json(), "the series is there")
        query = {"series": "sensor/temperature", "begin": at, "end": at + 100}
        assert client.get(f"{base}/points", params=query).json()["values"] == [float(n) for n in range(50)]
        thinned = client.get(f"{base}/points", params={**query, "most": 10}).json()
        assert len(thinned["values"]) == 5 and thinned["low"][0] == 0.0 and thinned["high"][0] == 9.0
        assert client.get(f"{base}/points.csv").text.count("sensor/temperature") == 50
        lines = client.get("/api/v1/export", params={"form": "lines", "devices": f"id:{device.id}"}).text
        assert f"kos,device={device.id},series=sensor/temperature value=49.0 {at + 49}000000" in lines


@pytest.mark.parametrize(
    "headers",
    [{"host": "studio.example.org"}, {"origin": "http://evil.example", "host": "127.0.0.1"}],
    ids=["another-host-name", "another-site"],
)
def test_other_sites_are_kept_out(studio: Server, headers: dict[str, str]) -> None:
    with studio.client() as client:
        answer = client.post("/api/v1/groups", json={"name": "x", "query": "*"}, headers=headers)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_page_needs_its_token(studio: Server) -> None:
    with studio.client(origin=studio.url) as client:
        body = {"name": "with a token", "query": "*"}
        assert client.post("/api/v1/groups", json=body).status_code == 403
        token = client.get("/").text.partition('name="csrf" content="')[2].partition('"')[0]
        assert token
        assert client.post("/api/v1/groups", json=body, headers={"x-csrf-token": token}).status_code == 201


def test_pages_bring_no_inline_script(studio: Server) -> None:
    with studio.client() as client:
        for path in ("/", "/releases", "/data", "/alarms", "/audit"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "script-src 'self';" in answer.headers["content-security-policy"]
            assert "<script>" not in answer.text and " onclick=" not in answer.text
            assert "http://" not in answer.text and "https://" not in answer.text


def test_the_wizard_makes_a_system(studio: Server, tmp_path: Path) -> None:
    with studio.client() as client:
        body = {"name": "my_system", "folder": str(tmp_path)}
        made = client.post("/api/v1/studio/systems", json=body)
        assert made.status_code == 201, made.text
        assert (tmp_path / "my_system" / "system.py").is_file()
        assert client.post("/api/v1/studio/systems", json=body).status_code == 409
        for wrong in ({"name": "../x"}, {"folder": "relative"}, {"folder": "/nonexistent"}):
            assert client.post("/api/v1/studio/systems", json=body | wrong).status_code in (400, 422)
