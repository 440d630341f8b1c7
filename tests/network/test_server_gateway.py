"""A server that runs the gateway itself: whom it accepts may use the tunnel, whom it revokes may not any
more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kos.abi import nkey
from kos.abi.session import BUS_PORT
from kos.device.network.plan import AppPlan
from kos.network.namespaces import in_namespace
from kos.services.admin.identity import from_seed
from tests.network import lab
from tests.network.lab import Device, Wire
from tests.security.test_network_isolation import TRY

pytestmark = [pytest.mark.group("network"), pytest.mark.timeout(600)]

# An app that behaves as if it were a browser on the server's own machine.
PRETEND = """
import sys, urllib.error, urllib.request
url = f"http://10.90.0.1:{sys.argv[1]}/api/v1/devices"
asked = urllib.request.Request(url, headers={"Host": "127.0.0.1:4190"})
try:
    print(urllib.request.urlopen(asked, timeout=60).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
STATION = AppPlan("station", "10.90.1.2/16", "10.90.0.1")
PORTS = {"KOS_SERVER_PORT": "4190", "KOS_SERVER_BUS_PORT": "4191", "KOS_SERVER_MQTT_PORT": "-1"}


def simulated(number: int) -> bytes:
    """The public key of a simulated device; `kos.services.admin.simulator` makes the same ones."""
    return from_seed(hashlib.sha256(f"simulated  {number}".encode()).digest()).public_key


class ServerProcess:
    """`kos-tool server.start --gateway` in the gateway's namespace, and the commands that speak with it."""

    def __init__(self, wire: Wire, folder, *, user: bool) -> None:
        self._wire = wire
        self._environ = {
            **os.environ,
            **PORTS,
            "KOS_SERVER_URL": "http://127.0.0.1:4190",
            "HOME": str(folder),
        }
        self._environ["KOS_SERVER_DATA"] = str(folder / "server")
        command = [
            *(lab.AS_USER if user else []),
            sys.executable,
            "-m",
            "kos.tool",
            "server.start",
            "--gateway",
        ]
        self.process = in_namespace(
            wire.gateway,
            lambda: subprocess.Popen(command, env=self._environ, stdout=subprocess.PIPE, text=True),
        )
        assert self.process.stdout is not None
        self.said = [self.process.stdout.readline() for _ in range(2)]

    def tool(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "kos.tool", *arguments, "--json"]
        done = in_namespace(
            self._wire.gateway,
            lambda: subprocess.run(
                command, env=self._environ, capture_output=True, text=True, timeout=lab.TIMEOUT, check=False
            ),
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def gateways(self) -> list[int]:
        """The pids of the gateway that it runs."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = []
        for pid in children:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may end while we look
                if b"server.gateway" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(lab.TIMEOUT)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def mode(request) -> str:
    return getattr(request, "param", "root")


@pytest.fixture
def world(mode, tmp_path):
    """A server with its gateway, and a device whose tunnel is told about it."""
    lab.require_tools()
    with lab.closing_all() as things:
        wire = Wire()
        things.append(wire.close)
        server = ServerProcess(wire, tmp_path, user=mode == "user")
        things.append(server.close)
        assert server.said[1].startswith("gateway: UDP port 51820, public key ")
        peer = {"public_key": server.said[1].split()[-1], "endpoint": f"{lab.GATEWAY_ADDRESS}:51820"}
        device = Device(wire, tmp_path / "keys", lab.plan(STATION), user=mode == "user")
        things.append(device.close)
        assert device.tunnel.ask(op="peer", keep_alive=1, **peer)["ok"]
        yield wire, server, device, peer, things


@pytest.mark.parametrize("mode", ["root", "user"], indirect=True)
def test_an_announced_device_comes_through_the_tunnel(world, tmp_path):
    _wire, server, device, peer, things = world
    assert reach(device) != "answered"
    # Announced by its two keys, as bootstrap prints them: it has its tunnel before it ever showed up.
    table = tmp_path / "keys.csv"
    row = f"{simulated(0).hex()},pump,{device.key.public.hex()},10.90.1.0/28"
    table.write_text(f"public_key,name,tunnel_key,network\n{row}\n")
    answer = server.tool("server.devices.announce", str(table))
    identity = nkey.device_id(simulated(0))
    assert answer["tunnels"] == [{"device": identity, "name": "pump", "network": "10.90.1.0/28"}]
    lab.wait_for("the tunnel", lambda: reach(device) == "answered")
    assert device.run("station", PRETEND, PORTS["KOS_SERVER_PORT"]) == "403", (
        "Studio's user comes from here only"
    )
    start_simulator(device, things)
    lab.wait_for("it shows up", lambda: shown(server).get(identity, {}).get("online"))
    assert shown(server)[identity]["status"] == "accepted"
    assert shown(server)[identity]["name"] == "pump"

    # The gateway's process dies: the server starts another one, with the same key and the same devices.
    (pid,) = server.gateways()
    os.kill(pid, signal.SIGKILL)
    lab.wait_for("another gateway", lambda: server.gateways() not in ([], [pid]))
    lab.wait_for("the tunnel", lambda: again_reach(device, peer) == "answered")

    # Revoked, it is no peer any more.
    server.tool("server.devices.revoke", identity)
    lab.wait_for("the end of its tunnel", lambda: reach(device) != "answered")


def test_a_device_that_was_accepted_is_given_a_tunnel(world, tmp_path):
    """It came another way. Its addresses are those that it was given, and no others."""
    wire, server, device, peer, things = world
    command = [sys.executable, "-m", "kos.services.admin.simulator", "--count", "1", "--server"]
    command.append(f"127.0.0.1:{PORTS['KOS_SERVER_BUS_PORT']}")
    things.append(ended(in_namespace(wire.gateway, lambda: subprocess.Popen(command))))
    identity, key = nkey.device_id(simulated(0)), device.key.public.hex()
    lab.wait_for("the device", lambda: identity in shown(server))
    told = server.tool("server.devices.tunnel", identity, "--key", key)
    assert told["peer_public_key"] == peer["public_key"] and told["network"] == "10.90.0.16/28"
    assert reach(device) != "answered", "it sends from an address that is not its own"
    (tmp_path / "keys/tunnel.json").write_text(json.dumps(told))
    again = Device(wire, tmp_path / "keys", lab.plan(STATION), user=False, key=device.key)
    things.append(again.close)
    assert again.tunnel.ask(op="peer", keep_alive=1, **peer)["ok"]
    lab.wait_for("the tunnel", lambda: reach(again) == "answered")


def reach(device: Device) -> str:
    return device.run("station", TRY, "tcp", "10.90.0.1", str(BUS_PORT))


def again_reach(device: Device, peer: dict[str, Any]) -> str:
    """With a fresh session, as the tunnel service asks for when nothing comes back."""
    assert device.tunnel.ask(op="peer", keep_alive=1, fresh=True, **peer)["ok"]
    return reach(device)


def shown(server: ServerProcess) -> dict[str, Any]:
    return {one["id"]: one for one in server.tool("server.devices.list")}


def start_simulator(device: Device, things: list) -> None:
    """A simulated device behind the tunnel, in the place of an admin app."""
    join = device.client.join("station")
    assert join is not None
    command = [sys.executable, "-m", "kos.services.admin.simulator", "--count", "1", "--server"]
    process = subprocess.Popen([*command, f"10.90.0.1:{BUS_PORT}"], preexec_fn=join)
    join.close()
    things.append(ended(process))


def ended(process: subprocess.Popen[Any]) -> Any:
    def end() -> None:
        process.kill()
        process.wait()

    return end
