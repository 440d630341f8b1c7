"""The tunnel service."""

from __future__ import annotations

import os
import threading

from kos import app
from kos.abi.errors import KosError
from kos.abi.services import PORT_ETHERNET, PORT_INTERNET
from kos.app import StatusError, log
from kos.network.keeper_link import KeeperLink
from kos.services import serving
from kos.services.tunnel.runner import Runner
from kos.services.tunnel.server import TunnelServer


class Ethernet:
    """Calls to ethernet, connected anew when it was restarted."""

    def __init__(self) -> None:
        self._token: app.Token | None = None

    def __call__(self, label: int, payload: bytes) -> tuple[bool, bytes]:
        for _attempt in range(2):
            try:
                if self._token is None:
                    self._token = app.connect(PORT_ETHERNET)
                reply = self._token.call(label, payload=payload, check=False)
            except StatusError:
                self._token = None
                continue
            if reply.label in (app.Status.UNAVAILABLE, app.Status.INVALID_TOKEN):
                self._token = None
                continue
            return reply.label == app.Status.OK, bytes(reply.payload)
        return False, b"ethernet does not answer"


def main() -> None:
    keeper = KeeperLink.inherited()
    runner = None
    if keeper is None:
        log.warn("this system runs without a network")
    else:
        runner = Runner(keeper, Ethernet(), app.config().get("tunnel_settings", {}), log.info)
        threading.Thread(target=_run, args=[runner], name="tunnel", daemon=True).start()
    server = app.Server()
    serving.bind(server, PORT_INTERNET, TunnelServer(runner).answer)
    app.ready()
    server.serve()


def _run(runner: Runner) -> None:
    """The tunnel's thread; without it the service is of no use, so its end is the service's."""
    try:
        runner.run()
    except (KosError, OSError, StatusError) as error:
        log.error(str(error))
        os._exit(1)
