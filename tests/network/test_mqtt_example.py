"""examples/mqtt_example as its README says: built and run by kos-tool, read by mosquitto's client."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kos.abi import nkey
from kos.keys import pairs
from kos.network.namespaces import in_namespace
from tests.examples.running import Run
from tests.network import lab
from tests.network.bus import PORT, Bus
from tests.network.lab import GatewayProcess, Wire
from tests.network.test_mqtt import foreign_reader

pytestmark = [pytest.mark.group("network"), pytest.mark.timeout(600)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mqtt_example"


def test_what_both_apps_publish_arrives(tmp_path):
    lab.require_tools()
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("needs mosquitto_sub: apt-get install mosquitto-clients")
    project = tmp_path / "mqtt_example"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("build"))
    # Before, because there is no package index in the namespace where it runs.
    subprocess.run([sys.executable, "-m", "kos.tool", "manifest", str(project)], check=True, timeout=200)
    public = pairs.generate(tmp_path / "keys", pairs.DEVICE_KEYS.items())
    device = nkey.device_id(public["server"])
    with lab.closing_all() as things:
        wire = Wire()
        things.append(wire.close)
        bus = Bus(wire.gateway, tmp_path / "bus", public["server"])
        things.append(bus.stop)
        gateway = GatewayProcess(wire, tmp_path / "gateway", user=False, services=[f"bus={PORT}"])
        things.append(gateway.stop)
        gateway.allow({"device-1": (public["tunnel"], ["10.90.1.2/32"])})
        reader = foreign_reader(wire, device)
        things.append(reader.close)
        environ = {
            "TUNNEL_PEER_ENDPOINT": f"{lab.GATEWAY_ADDRESS}:51820",
            "TUNNEL_PEER_KEY": gateway.public_key,
            "KOS_CONFIG_EXAMPLE__INTERVAL": "0.2",
        }
        run = in_namespace(wire.device, lambda: Run(project, environ, "--keys", str(tmp_path / "keys")))
        things.append(run.stop)
        run.wait_for(r"station +\| published reading 1: 20\.1 °C")
        run.expect(r"meter +\| published count 1")
        lab.wait_for("eight messages", lambda: len(reader.messages()) >= 8)
        heard = reader.messages()
        prefix = f"kos/d/{device}/up/data"
        temperatures = [value for topic, value in heard if topic == f"{prefix}/station/weather/temperature"]
        counts = [value for topic, value in heard if topic == f"{prefix}/meter/energy/count"]
        assert len(temperatures) + len(counts) == len(heard)
        assert temperatures == [f"{20 + n % 10 / 10:.1f}" for n in range(1, len(temperatures) + 1)]
        assert counts == [str(n) for n in range(1, len(counts) + 1)]
