"""The ethernet service."""

from __future__ import annotations

import os
import threading

from kos import app
from kos.abi.errors import KosError
from kos.abi.services import PORT_ETHERNET
from kos.network.keeper_link import KeeperLink
from kos.services import serving
from kos.services.ethernet.config import parse
from kos.services.ethernet.interface import Interface
from kos.services.ethernet.server import EthernetServer


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    config = parse(app.config())
    keeper = KeeperLink.inherited()
    interface = None
    if keeper is None:
        say("warn  this system runs without a network")
    else:
        interface = Interface(keeper, config, say)
        interface.start()
        threading.Thread(target=_run, args=[interface], name="interface", daemon=True).start()
    server = app.Server()
    serving.bind(server, PORT_ETHERNET, EthernetServer(interface).answer)
    app.ready()
    server.serve()


def _run(interface: Interface) -> None:
    """The interface's thread; without it the service is of no use, so its end is the service's."""
    try:
        interface.run()
    except (KosError, OSError) as error:
        say(f"error  {error}")
        os._exit(1)
