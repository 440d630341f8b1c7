"""The log server."""

from __future__ import annotations

import os

from kos import app
from kos.abi.services import PORT_LOG, PORT_LOG_ADMIN
from kos.services import serving
from kos.services.log.config import parse
from kos.services.log.limiter import Limiter
from kos.services.log.ring import Ring
from kos.services.log.server import LogServer

DATA = "/data"  # there with a storage resource


def main() -> None:
    config = parse(app.config())
    folder = DATA if os.access(DATA, os.W_OK) else None
    if folder is None:
        print("warn  no storage: lines are kept in memory only")
    ring = Ring(config.ring, folder, lambda text: print(f"warn  {text}"))
    log = LogServer(ring, Limiter(config.rate, config.burst), print, level=config.level)
    server = app.Server()
    serving.bind(server, PORT_LOG, log.write)
    serving.bind_if_granted(server, PORT_LOG_ADMIN, log.read)
    app.ready()
    server.serve()
