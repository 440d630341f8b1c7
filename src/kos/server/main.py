"""Runs one server process until it is told to stop. The command line fills in the settings."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from contextlib import closing
from dataclasses import replace

import uvicorn

from kos.abi.errors import KosError
from kos.server import limits
from kos.server.app import create_app
from kos.server.settings import Settings, is_loopback
from kos.server.start import check_database, data_folder

GRACE = 3  # seconds that open streams have to end


class JsonLines(logging.Formatter):
    """One JSON object a line, for whoever collects logs."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def serve(settings: Settings, *, log_json: bool = False, verbose: bool = False) -> int:
    """Serve until SIGINT or SIGTERM.

    Raises:
        KosError: a setting is wrong, the port is in use, the data cannot be used, or Studio would listen
            beyond this machine. Nothing was changed then.
    """
    limits.check(settings)
    if settings.studio and not is_loopback(settings.host):
        raise KosError(
            f"Studio has no log-in, so it listens on this machine only, not on {settings.host}",
            hint="use the Fleet Server: kos-tool server.start --fleet",
        )
    _set_up_log(log_json, verbose)
    with closing(_listen(settings.host, settings.port)) as listener:
        settings = replace(settings, port=listener.getsockname()[1])
        begun: list[_Server] = []
        with data_folder(settings.data, lambda: any(server.started for server in begun)):
            check_database(settings)
            return _serve(settings, listener, begun, verbose=verbose)


def _serve(settings: Settings, listener: socket.socket, begun: list[_Server], *, verbose: bool) -> int:
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=verbose,
        timeout_graceful_shutdown=GRACE,
        ws="websockets-sansio",
        server_header=False,
    )
    server = _Server(config, settings)
    begun.append(server)
    app.state.failure = None
    # What the user can mend is said once, by whoever called, and not with a trace.
    logging.getLogger("uvicorn.error").addFilter(lambda _record: app.state.failure is None)
    try:
        server.run(sockets=[listener])
    except SystemExit:
        if app.state.failure is None:
            raise
    if app.state.failure is not None:
        raise app.state.failure
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """Says where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self.settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        services = self.config.app.state.services  # type: ignore[union-attr]
        print(
            f"{self.settings.product.title()} Server: http://{self.settings.host}:{self.settings.port}/",
            flush=True,
        )
        if services.gateway is not None:
            ready = services.gateway.ready
            print(f"gateway: UDP port {ready['port']}, public key {ready['public_key']}", flush=True)
        if services.first_password:
            # Shown once and stored only as a hash.
            print(
                f"first log-in: admin@localhost, password {services.first_password}",
                file=sys.stderr,
                flush=True,
            )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise KosError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="another server runs there already? Choose another port with --port",
        ) from error
    listener.set_inheritable(True)
    return listener


def _set_up_log(log_json: bool, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    plain = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    handler.setFormatter(JsonLines() if log_json else logging.Formatter(plain))
    level = limits.log_level(os.environ, logging.INFO if verbose else logging.WARNING)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
