"""A server of the tests: the real application on free ports in a thread, and an HTTP client that knows it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from kos.server.app import create_app
from kos.server.core.bus.process import free_port
from kos.server.core.services import Services
from kos.server.settings import Settings

DEADLINE = 120.0  # seconds that anything may take
LOGINS = 1000  # at once, from one address
PASSWORD = "a password of the tests"


class Server:
    """One running server process, as far as a test needs it."""

    def __init__(self, settings: Settings, app: Any) -> None:
        self.settings = settings
        self.app = app
        self.url = f"http://127.0.0.1:{settings.port}"
        self._clients: dict[str, httpx.Client] = {}

    @property
    def services(self) -> Services:
        return self.app.state.services

    @property
    def bus_port(self) -> int:
        process = self.services.process
        assert process is not None
        return process.node.port

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=DEADLINE)

    def login(self, email: str = "admin@localhost", password: str = PASSWORD) -> httpx.Client:
        """A client that has logged in and shows the page's token: one for each person, closed at the end."""
        if email in self._clients:
            return self._clients[email]
        client = self._clients[email] = self.client()
        client.post("/api/v1/login", json={"email": email, "password": password}).raise_for_status()
        page = client.get("/").text
        client.headers["x-csrf-token"] = page.partition('name="csrf" content="')[2].partition('"')[0]
        return client

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@contextlib.contextmanager
def running(data: Path, **options: Any) -> Iterator[Server]:
    """A server on ports of its own, ended with the context."""
    options = {"port": free_port("127.0.0.1"), "bus_port": 0, "mqtt_port": -1, **options}
    settings = replace(Settings(data=data), **options)
    app = create_app(settings)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=settings.port, log_level="warning", ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    made = Server(settings, app)
    try:
        wait_for(lambda: server.started or not thread.is_alive(), "the server starts")
        assert server.started, "the server did not start; its log says why"
        # All people of a test come from one address; `RateLimit` has tests of its own.
        made.services.login_limit.burst = LOGINS
        made.services.login_limit.forget()
        yield made
    finally:
        made.close()
        server.should_exit = True
        thread.join(DEADLINE)
        assert not thread.is_alive(), "the server did not stop"


def wait_for(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
    """The first true result of `condition`; fails after the deadline."""
    end = time.monotonic() + deadline
    while True:
        if result := condition():
            return result
        assert time.monotonic() < end, f"not within {deadline:g} s: {what}"
        time.sleep(0.02)
