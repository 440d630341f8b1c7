"""The random number server."""

from __future__ import annotations

from kos import app
from kos.abi.services import PORT_RNG
from kos.services import serving
from kos.services.rng.server import answer


def main() -> None:
    server = app.Server()
    serving.bind(server, PORT_RNG, answer)
    app.ready()
    server.serve()
