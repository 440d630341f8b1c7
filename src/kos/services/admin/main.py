"""The admin app: connects its device to a Studio or Fleet Server.

    {"server": "10.90.0.1:4181", "name": "pump 7"}

is its configuration; both are optional. `server` may be several addresses with commas between; without it the
server is where the tunnel ends. The server key stays in the key store, the network is the tunnel's.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import socket
import time
from collections.abc import Callable

from kos.abi import nkey
from kos.abi.errors import KosError
from kos.abi.session import BUS_PORT
from kos.services.admin.agent import Agent
from kos.services.admin.door import Door
from kos.services.admin.engine import DeviceEngine
from kos.services.admin.identity import Identity, from_key_store
from kos.services.admin.state import DeviceState
from kos.services.admin.trace import TracePort
from kos.services.admin.updates import Updates

CONNECT_TIMEOUT = 10.0  # seconds
TUNNEL_WAIT = 1.0  # seconds between two looks at a tunnel that is not up yet
VERSION = "1.0"


def parse_address(text: str) -> tuple[str, int]:
    """`host`, `host:port` or `[v6]:port`. Raises KosError."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, str(BUS_PORT)
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise KosError(f"not a server's address: {text!r}", hint="HOST or HOST:PORT")
    return host, int(port)


def dial(host: str, port: int) -> socket.socket:
    """A connection to the server, as the namespace that we are in reaches it."""
    connection = socket.create_connection((host, port), CONNECT_TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def manage(
    identity: Identity,
    server: str,
    supervisor: socket.socket,
    state: DeviceState,
    say: Callable[[str], None],
    engine: Callable[[], socket.socket] | None = None,
    trace_port: TracePort | None = None,
) -> None:
    """Manage a device until its supervisor is gone, which raises KosError.

    `engine` connects to the upgrade engine; without it the supervisor is asked for the connection.
    """
    # The next of a cluster's nodes is tried each time that a connection ends.
    addresses = [parse_address(one.strip()) for one in server.split(",")]
    turns = itertools.cycle(range(len(addresses)))
    current = 0

    def connect() -> socket.socket:
        nonlocal current
        current = next(turns)
        return dial(*addresses[current])

    key = identity.public_key
    say(f"device {nkey.device_id(key)}, claim code {nkey.claim_code(key)}, server {server}")
    door = Door()
    updates = Updates(DeviceEngine(engine or door.connect, lambda: addresses[current][0]))
    Agent(identity, connect, supervisor, state, updates, door, say, trace_port).run()


def main() -> None:
    from kos import app
    from kos.abi.services import PORT_KEY_STORE
    from kos.services.admin.trace_port import AppTracePort

    config = app.config()
    number = os.environ.get("KOS_SUPERVISOR")
    if number is None:
        raise KosError(
            "the manifest does not give the admin app the supervisor",
            hint="resources=[Supervisor(upgrade=True)]",
        )
    keys = app.connect(PORT_KEY_STORE)

    def ask(label: int, data: bytes) -> tuple[int, int, bytes]:
        reply = keys.call(label, payload=data, check=False)
        return reply.label, reply.param, bytes(reply.payload)

    identity = from_key_store(ask)
    app.ready()
    server = config.get("server") or f"{_gateway()}:{BUS_PORT}"
    state = DeviceState(secrets.token_hex(6), "", str(config.get("name", "")), VERSION)
    supervised = socket.socket(fileno=int(number))
    manage(identity, server, supervised, state, print, trace_port=AppTracePort())


def _gateway() -> str:
    """The far end of the tunnel, once there is one."""
    from kos import app
    from kos.abi.services import INTERNET_STATUS, PORT_INTERNET

    tunnel = app.connect(PORT_INTERNET)
    while True:
        reply = tunnel.call(INTERNET_STATUS, check=False)
        if reply.label == app.Status.OK:
            gateway = json.loads(bytes(reply.payload)).get("gateway")
            if gateway:
                return str(gateway)
        time.sleep(TUNNEL_WAIT)
