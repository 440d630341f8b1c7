"""The MQTT relay."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from kos import app
from kos.abi import network as wire
from kos.abi.errors import KosError
from kos.abi.services import PORT_KEY_STORE, PORT_MQTT
from kos.network.keeper_link import KeeperLink
from kos.services import serving
from kos.services.admin.identity import from_key_store
from kos.services.mqtt_relay.config import parse
from kos.services.mqtt_relay.relay import Relay
from kos.services.mqtt_relay.server import MqttServer
from kos.services.mqtt_relay.spool import Spool
from kos.services.mqtt_relay.upstream import Upstream

DATA = Path("/data")  # there with a storage resource
LOCAL_PORT = 1883


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    config = parse(app.config())
    keeper = KeeperLink.inherited()
    if keeper is None:
        raise KosError("the relay needs a network", hint="give it the resource Network() and a tunnel")
    keys = app.connect(PORT_KEY_STORE)

    def ask(label: int, payload: bytes) -> tuple[int, int, bytes]:
        reply = keys.call(label, payload=payload, check=False)
        return reply.label, reply.param, bytes(reply.payload)

    identity = from_key_store(ask)
    spool = Spool(DATA / "spool", config.spool)
    relay = Relay(config, spool, Upstream(identity.public_key, identity.sign, spool), say)
    for name in keeper.ask(wire.OP_APPS)["apps"]:
        _, descriptors = keeper.ask_for_descriptors(wire.OP_LISTEN, app=name, port=LOCAL_PORT)
        relay.listen(name, socket.socket(fileno=descriptors[0]))
    threading.Thread(target=_run, args=[relay], name="relay", daemon=True).start()
    server = app.Server()
    serving.bind(server, PORT_MQTT, MqttServer(relay).answer)
    app.ready()
    server.serve()


def _run(relay: Relay) -> None:
    """The relay's thread; without it the service is of no use, so its end is the service's."""
    try:
        relay.run()
    except Exception as error:
        say(f"error  {type(error).__name__}: {error}")
        os._exit(1)
