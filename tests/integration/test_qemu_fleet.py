"""A fleet of real systems: five on this machine and the real image under QEMU, behind its tunnel. A good
release reaches all, a bad one stops itself, nothing is bricked.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from kos.build.system import Builder
from kos.keys import pairs
from kos.manifest.load import load_project
from kos.network.namespaces import in_namespace
from kos.tool.request import RunRequest
from kos.tool.runners.qemu_arm_virt import make
from tests.integration.qemu_device import PLATFORM, needs_sdk, powered
from tests.network import lab
from tests.network.lab import GatewayProcess, Wire
from tests.server import real
from tests.server.running import PASSWORD, Server, running, wait_for
from tests.tool.running import kos_tool
from tests.tool.test_debug import LISTS, METER
from tests.tracing.chrome import check_document

pytestmark = [pytest.mark.group("qemu"), pytest.mark.timeout(1800)]

HOST_DEVICES = 5
HTTP, BUS = 4180, 4181
SYSTEM = """
    from kos.manifest import App, CImage, Context, PythonImage, System, TunnelIp
    from kos.systems import Poukai

    class Pump(System):
        base = Poukai(admin=True, tracing=True, admin_config={"server": "10.90.0.1", "name": "emulated"})
        release = "RELEASE"

        def setup(self, ctx: Context) -> Context:
            ctx = ctx.set_kos_options(
                disable_signing=True,
                persistent_boot=True,
                remote_shell=True,
                debugger=True,
                tunnel_ips={"admin": TunnelIp("10.90.1.2", "255.255.0.0", "10.90.0.1")},
            )
            for name in ("steady", "pump"):
                ctx = ctx.put_app(App(name, PythonImage(name), debug=True)).connect_protocol(name, Poukai.log)
            return ctx.put_app(App("meter", CImage("meter"), debug=True))
"""


def emulated(folder: Path, release: str, pump: str = real.GOOD) -> Path:
    """The same system for QEMU: with the admin app and its way to the server."""
    made = real.project(folder / f"emulated-{release}", release, pump)
    (made / "system.py").write_text(dedent(SYSTEM).replace("RELEASE", release))
    (made / "meter").mkdir()
    (made / "meter/CMakeLists.txt").write_text(LISTS)
    (made / "meter/meter.c").write_text(METER.replace("usleep(100000)", "sleep(1)"))
    return made


def releases(server: Server, folder: Path, release: str, pump: str = real.GOOD) -> list[dict[str, Any]]:
    """Upload one release for each platform."""
    here = real.archive(folder, release, pump)
    there = folder / f"emulated-{release}.zip"
    Builder(load_project(emulated(folder, release, pump)), PLATFORM).build().write(there)
    client = server.login()
    return [client.post("/api/v1/releases", content=path.read_bytes()).json() for path in (here, there)]


def roll_out(server: Server, made: list[dict[str, Any]]) -> dict[str, Any]:
    """A rollout of both, to its end."""
    client = server.login()
    plan = {"phases": ["2", "100%"], "parallel": 3, "max_failures": 1, "device_timeout": 300}
    body = {
        "name": made[0]["version"],
        "release_id": made[0]["id"],
        "variants": [made[1]["id"]],
        "plan": plan,
    }
    answer = client.post("/api/v1/rollouts", json=body)
    assert answer.status_code == 201, answer.text
    path = f"/api/v1/rollouts/{answer.json()['id']}"
    ended = ("done", "stopped", "aborted")
    return wait_for(lambda: (now := client.get(path).json())["state"] in ended and now, "it ends", 300)


def test_a_mixed_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    lab.require_tools()
    needs_sdk()
    monkeypatch.setenv("KOS_SERVER_ADMIN_PASSWORD", PASSWORD)
    keys = tmp_path / "keys"
    public = pairs.generate(keys, sorted(pairs.DEVICE_KEYS.items()))
    with lab.closing_all() as things:
        wire = Wire()
        things.append(wire.close)
        services = [f"bus={BUS}:127.0.0.1:{BUS}", f"http={HTTP}:127.0.0.1:{HTTP}"]
        gateway = GatewayProcess(wire, tmp_path / "gateway", user=False, services=services)
        things.append(gateway.stop)
        gateway.allow({"device-1": (public["tunnel"], ["10.90.1.2/32"])})
        # To QEMU's guest, 10.0.2.2 is the machine that runs it: here the gateway's namespace.
        monkeypatch.setenv("TUNNEL_PEER_ENDPOINT", "10.0.2.2:51820")
        monkeypatch.setenv("TUNNEL_PEER_KEY", gateway.public_key)
        # The image first, which takes longer than anything may take to connect.
        (tmp_path / "machine").mkdir()
        machine = make(RunRequest(emulated(tmp_path, "1.0"), PLATFORM, keys=keys), tmp_path / "machine")

        def body() -> None:
            options = {
                "product": "fleet",
                "heartbeat": 2.0,
                "port": HTTP,
                "bus_port": BUS,
                "auto_accept": True,
            }
            with running(tmp_path / "server", **options) as server, contextlib.ExitStack() as stack:
                device = stack.enter_context(powered(machine))
                for number in range(HOST_DEVICES):
                    folder = tmp_path / f"device-{number}"
                    folder.mkdir()
                    stack.enter_context(real.device(folder, BUS))
                fleet(server, tmp_path, device)

        in_namespace(wire.gateway, body)


def fleet(server: Server, tmp_path: Path, device: Any) -> None:
    client = server.login()

    def devices(query: str = "") -> list[dict[str, Any]]:
        found = client.get("/api/v1/devices", params={"query": f"online:true system:pump {query}"})
        return found.json()["devices"]

    def waiting() -> bool:
        for one in client.get("/api/v1/devices", params={"query": "status:pending"}).json()["devices"]:
            client.post(f"/api/v1/devices/{one['id']}/accept").raise_for_status()
        return len(devices("healthy:true")) == HOST_DEVICES + 1

    wait_for(waiting, "all devices are there", 400)
    # Asked for anew: on a busy machine a device may seem to be away for a moment.
    (there,) = wait_for(lambda: devices(f"platform:{PLATFORM}*"), "the emulated device is there")
    assert there["name"] == "emulated"
    device.wait_for("healthy: generation 1")
    good = releases(server, tmp_path, "2.0")
    ended = roll_out(server, good)
    assert ended["state"] == "done" and ended["counts"] == {"healthy": HOST_DEVICES + 1}, ended
    device.wait_for("pump 2.0 turns")
    look_into(server, there["id"], tmp_path / "emulated-2.0")

    ended = roll_out(server, releases(server, tmp_path, "3.0", real.BAD))
    counts = ended["counts"]
    assert ended["state"] == "stopped" and 1 <= counts["reverted"] <= 2 and "healthy" not in counts, ended
    manifests = {one["manifest"] for one in good}

    def back() -> bool:
        found = devices("healthy:true")
        return len(found) == HOST_DEVICES + 1 and {one["running"] for one in found} <= manifests

    wait_for(back, "everybody runs the good release", 120)

    # What the rollout did to the first ones, the emulated device can take too.
    bad = client.get("/api/v1/releases", params={"limit": 1}).json()[0]
    assert bad["platform"].startswith(PLATFORM)
    path = f"/api/v1/devices/{there['id']}"
    version = client.put(f"{path}/release", json={"release_id": bad["id"]}).json()["desired_version"]
    after = wait_for(
        lambda: (
            (now := client.get(path).json())["update_version"] == version
            and now["update_state"] in ("reverted", "failed", "healthy")
            and now
        ),
        "the emulated device says what became of it",
        240,
    )
    assert after["update_state"] == "reverted" and "pump" in after["update_reason"], after
    wait_for(back, "it runs the good release again", 120)
    device.wait_for("pump 2.0 turns", after=device.wait_for("release 2.0 replaces 3.0"))


def look_into(server: Server, identity: str, project: Path) -> None:
    """A shell in a Python app, gdb on a C app and a trace of the emulated device, as a developer does it."""
    scopes = ["devices.read", "devices.operate", "devices.debug"]
    token = server.login().post("/api/v1/tokens", json={"name": "looks", "scopes": scopes}).json()["token"]
    place = ("--device", identity, "--server", server.url)

    def tool(*arguments: str) -> str:
        done = kos_tool(*arguments, *place, KOS_SERVER_TOKEN=token)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "13" in tool("toolbox.remote_shell", "pump", "-c", "speed + 1")
    commands = (
        "break measure",
        "continue",
        "print level",
        "backtrace",
        "set variable level = 900000",
        "detach",
    )
    asked = [word for command in commands for word in ("-x", command)]
    shown = tool("toolbox.debug", "meter", "--project", str(project), *asked)
    assert re.search(r"measure \(step=(step@entry=)?3\) at .*meter\.c:8", shown), shown
    assert re.search(r"#1 .* main \(\) at .*meter\.c", shown), shown
    wait_for(
        lambda: server.login().get(f"/api/v1/devices/{identity}/log", params={"text": "level 9000"}).json(),
        "the app goes on with what gdb changed",
    )
    file = project / "trace.json"
    found = json.loads(tool("trace", "--seconds", "3", "--output", str(file), "--json"))
    # The admin app fetches the trace from the trace server's port, and is traced like every other app.
    fetched = [one for one in found["ports"] if one["port"] == "kos_trace_admin_protocol"]
    assert found["apps"]["admin"]["calls"] > 0 and sum(one["calls"] for one in fetched) > 0, found
    check_document(json.loads(file.read_text()))
