"""Starts the admin app: on a device as the app `admin`, or beside a running system of this machine.

    {"server": "fleet.example.org:4181", "name": "pump 7"}

is its configuration on a device; `server` may be several addresses with commas between. With `--run DIR --key
FILE` it manages a system that runs in DIR on the platform `host`, with the developer's own rights.
"""

from __future__ import annotations

import argparse
import itertools
import secrets
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.session import BUS_PORT
from kos.device.control.address import short_address
from kos.device.control.client import SOCKET_NAME
from kos.services.admin.agent import Agent
from kos.services.admin.identity import Identity, from_file
from kos.services.admin.state import DeviceState
from kos.services.admin.updates import Engine, Updates

CONNECT_TIMEOUT = 10.0  # seconds
START_TIMEOUT = 30.0  # seconds until a system that is being started takes orders
DEFAULT_SERVER = f"127.0.0.1:{BUS_PORT}"


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


def run(
    identity: Identity,
    server: str,
    supervisor: socket.socket,
    state: DeviceState,
    engine: Engine,
    say: Callable[[str], None],
) -> None:
    """Manage a device until its supervisor is gone."""
    addresses = itertools.cycle([parse_address(one.strip()) for one in server.split(",")])
    say(f"device {identity_text(identity)}, server {server}")
    # The next of a cluster's nodes is tried each time that a connection ends.
    Agent(identity, lambda: dial(*next(addresses)), supervisor, state, Updates(engine), say).run()


def identity_text(identity: Identity) -> str:
    from kos.abi import nkey

    key = identity.public_key
    return f"{nkey.device_id(key)} (claim code {nkey.claim_code(key)})"


def connect_to_supervisor(directory: Path) -> socket.socket:
    """The control socket of the system that runs, or is about to run, in `directory`."""
    path = directory / SOCKET_NAME
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            with short_address(path) as address:
                connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            if time.monotonic() > deadline:
                raise KosError(f"no system runs there: {error.strerror}", where=str(path)) from error
            time.sleep(0.05)


def beside(arguments: list[str]) -> None:
    """The command line for a system that runs on this machine."""
    from kos.services.admin.host_engine import HostEngine

    parser = argparse.ArgumentParser(prog="kos.services.admin", description="Manage a running system.")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="where the system runs")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the device's server key")
    parser.add_argument("--server", default=DEFAULT_SERVER, metavar="HOST:PORT")
    parser.add_argument("--name", default="", help="how the device is called at first")
    chosen = parser.parse_args(arguments)
    state = DeviceState(secrets.token_hex(6), "host", chosen.name, "1.0")
    supervisor = connect_to_supervisor(chosen.run)
    run(
        from_file(chosen.key),
        chosen.server,
        supervisor,
        state,
        HostEngine(chosen.run, parse_address(chosen.server)[0]),
        lambda text: print(f"admin: {text}", file=sys.stderr, flush=True),
    )


if __name__ == "__main__":
    try:
        beside(sys.argv[1:])
    except KosError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(1)
