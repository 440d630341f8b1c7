"""The admin agent beside a system that runs on this machine, with the developer's own rights.

`python -m kos.services.admin.beside --run DIR --key FILE` shows the system that runs in DIR to a server, and
upgrades it with the device's own engine. A system with the admin app needs none of this.
"""

from __future__ import annotations

import argparse
import secrets
import socket
import sys
import time
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.session import BUS_PORT
from kos.device.control.address import short_address
from kos.device.control.client import SOCKET_NAME
from kos.device.upgrade.local import served
from kos.services.admin.identity import from_file
from kos.services.admin.main import manage
from kos.services.admin.state import DeviceState

START_TIMEOUT = 30.0  # seconds until a system that is being started takes orders
DEFAULT_SERVER = f"127.0.0.1:{BUS_PORT}"


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="kos.services.admin.beside", description="Manage a running system.")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="where the system runs")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the device's server key")
    parser.add_argument("--server", default=DEFAULT_SERVER, metavar="HOST:PORT")
    parser.add_argument("--name", default="", help="how the device is called at first")
    chosen = parser.parse_args()
    supervisor = connect_to_supervisor(chosen.run)
    manage(
        from_file(chosen.key),
        chosen.server,
        supervisor,
        DeviceState(secrets.token_hex(6), "host", chosen.name, "1.0"),
        lambda text: print(f"admin: {text}", file=sys.stderr, flush=True),
        lambda: served(chosen.run),
    )


if __name__ == "__main__":
    try:
        main()
    except KosError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(1)
