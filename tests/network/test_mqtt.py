"""Data out by MQTT from end to end: an app with paho, the relay, the tunnel, nats-server, a mosquitto
reader.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kos.abi import nkey
from kos.abi.services import PORT_ETHERNET, PORT_INTERNET, PORT_KEY_STORE, PORT_LOG, PORT_MQTT
from kos.network.namespaces import in_namespace
from tests.device.systems import RunningSystem, app, install
from tests.network import lab
from tests.network.bus import MQTT_PORT, PORT, READER, Bus
from tests.network.lab import GatewayProcess, KeyPair, Wire
from tests.network.test_host_system import service
from tests.server.records import Mosquitto

pytestmark = [pytest.mark.group("network"), pytest.mark.timeout(600)]

RESTART = {"backoff_initial": 0.01, "backoff_max": 0.1, "window": 60.0}
# Publishes a day of readings, one a minute, then says so; then as many single ones as it is told by its
# config.
STATION = """
import json, time
import paho.mqtt.client as mqtt
from kos import app

def main():
    app.ready()
    relay = app.connect("kos_mqtt_protocol")
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="any name", protocol=mqtt.MQTTv311)
    client.max_inflight_messages_set(100)
    client.connect("127.0.0.1", 1883)
    client.loop_start()
    client.publish("hello/world", b"first", qos=1).wait_for_publish(200)
    print("published", flush=True)
    # Until the server has it, and until the server is away.
    while json.loads(relay.call(1).payload)["stored"] < 1:
        time.sleep(0.05)
    print("stored", flush=True)
    while json.loads(relay.call(1).payload)["connected"]:
        time.sleep(0.05)
    last = [client.publish("weather/temperature", str(minute), qos=1) for minute in range(1440)][-1]
    last.wait_for_publish(200)
    print("a day", json.loads(relay.call(1).payload)["waiting"], flush=True)
    while True:
        time.sleep(60)
"""


@pytest.fixture
def system(tmp_path):
    lab.require_tools()
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("needs mosquitto_sub: apt-get install mosquitto-clients")
    paho = pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install paho-mqtt")
    with lab.closing_all() as things:
        wire = Wire()
        things.append(wire.close)
        tunnel_key, server_key = KeyPair.new(), Ed25519PrivateKey.generate()
        public = server_key.public_key().public_bytes_raw()
        bus = Bus(wire.gateway, tmp_path / "bus", public)
        things.append(bus.stop)
        gateway = GatewayProcess(wire, tmp_path / "gateway", user=False, services=[f"bus={PORT}"])
        things.append(gateway.stop)
        gateway.allow({"device-1": (tunnel_key.public, ["10.90.1.9/32"])})
        directory = tmp_path / "system"
        directory.mkdir()
        settings = {"peer_endpoint": f"{lab.GATEWAY_ADDRESS}:51820", "peer_public_key": gateway.public_key}
        network = [{"type": "network"}]
        install(
            directory,
            {
                "ethernet": service("ethernet", PORT_ETHERNET, resources=network),
                "log": service("log", PORT_LOG),
                "key_store": service(
                    "keystore",
                    PORT_KEY_STORE,
                    resources=[{"type": "keys"}],
                    config={"access": {"mqtt_relay": {"server": ["public", "sign"]}}},
                ),
                "tunnel": service(
                    "tunnel",
                    PORT_INTERNET,
                    [PORT_ETHERNET, PORT_LOG],
                    resources=network,
                    config={"tunnel_settings": settings, "allow": {"mqtt_relay": [f"tcp 10.90.0.1 {PORT}"]}},
                ),
                "mqtt_relay": service(
                    "mqtt_relay",
                    PORT_MQTT,
                    [PORT_KEY_STORE, PORT_INTERNET],
                    resources=[*network, {"type": "storage", "size": 1 << 20}],
                    config={"server": "10.90.0.1"},
                    restart={**RESTART, "policy": "always", "limit": 100},
                ),
                "station": app(STATION, access={"msg0": {PORT_MQTT: {"role": "client"}}}),
            },
            {"msg0": [PORT_ETHERNET, PORT_INTERNET, PORT_LOG, PORT_KEY_STORE, PORT_MQTT]},
        )
        manifest = json.loads((directory / "manifest.json").read_text())
        address = {"address": "10.90.1.9", "mask": "255.255.0.0", "gateway": "10.90.0.1"}
        manifest["options"] = {"tunnel_ips": {"mqtt_relay": address}}
        (directory / "manifest.json").write_text(json.dumps(manifest))
        image = directory / "store/images" / manifest["apps"]["station"]["image"]["sha256"]
        shutil.copytree(Path(paho.__file__).parents[1], image / "site/paho")
        (directory / "keys").mkdir(mode=0o700)
        for name, private, shown in (
            ("tunnel", tunnel_key.private, tunnel_key.public),
            ("server", server_key.private_bytes_raw(), public),
        ):
            (directory / f"keys/{name}.key").write_bytes(private)
            (directory / f"keys/{name}.key").chmod(0o600)
            (directory / f"keys/{name}.pub").write_bytes(shown)
        device = nkey.device_id(public)
        # It listens before anything is published: nobody keeps a message for who comes later.
        reader = foreign_reader(wire, device)
        things.append(reader.close)
        with in_namespace(wire.device, lambda: RunningSystem(directory)) as running:
            yield bus, running, device, reader


def test_a_day_offline_is_replayed_once_and_in_order(system):
    bus, running, device, reader = system
    topic = f"kos/d/{device}/up/data/station"
    lab.wait_for("the first message", reader.messages)
    assert reader.messages() == [(f"{topic}/hello/world", "first")]
    running.wait_for("stored")
    bus.kill()
    running.wait_for("a day 1440")
    bus.start()
    # The server fails twice more in the middle of the replay, and the relay again and again.
    for some in (200, 700):
        lab.wait_for("a part of the replay", lambda some=some: len(bus.messages()) >= some)
        bus.kill()
        bus.start()
        kill_relay(running)
    while (stored := len(bus.messages())) < 1441:
        kill_relay(running)
        lab.wait_for("the relay goes on", lambda stored=stored: len(bus.messages()) > stored)
    stored = bus.messages()
    prefix = f"kos.d.{device}.up.data.station"
    assert stored[0] == (f"{prefix}.hello.world", b"first")
    assert stored[1:] == [(f"{prefix}.weather.temperature", str(n).encode()) for n in range(1440)]
    assert running.stop() == 0


def kill_relay(running: RunningSystem) -> None:
    """With SIGKILL, at whatever it is doing."""
    with running.client() as client:
        pid = client.status()["apps"]["mqtt_relay"]["pid"]
    if pid is not None:  # else it is just being started again
        os.kill(pid, signal.SIGKILL)


def foreign_reader(wire: Wire, device: str) -> Mosquitto:
    """Somebody at the bus who hears what a device publishes from now on."""
    topic = f"kos/d/{device}/up/data/#"
    reader = in_namespace(wire.gateway, lambda: Mosquitto(MQTT_PORT, topic, READER["password"], qos=1))
    reader.wait_until_it_listens()
    return reader
