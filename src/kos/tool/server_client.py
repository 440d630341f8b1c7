"""Speaks with a Studio or Fleet Server for the commands `server.…`: HTTP, JSON, problems as errors.

Which server: `--server`, else `KOS_SERVER_URL`, else the one of the last `server.login`, else Studio on this
machine. Uses the standard library only, so that a command starts fast.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from kos.abi.errors import KosError
from kos.abi.session import HTTP_PORT

STUDIO_URL = f"http://127.0.0.1:{HTTP_PORT}"
TIMEOUT = 30.0  # seconds
ANSWER_MAX = 64 << 20  # bytes
PAGE = 500

SERVER = click.option(
    "--server", "url", metavar="URL", help="The server.  [default: of server.login, else Studio]"
)

DATABASE = click.option(
    "--database",
    default="",
    envvar="KOS_SERVER_DATABASE",
    metavar="URL",
    help="postgresql://… where the server does not use SQLite.",
)


def login_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "kos" / "server.json"


def remember(url: str, token: str) -> None:
    """Keep an address and a token for later commands, readable for the owner only."""
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        json.dump({"url": url, "token": token}, file)


class ServerClient:
    """One server, as one user."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        known = json.loads(login_file().read_text()) if login_file().exists() else {}
        self.url = (url or os.environ.get("KOS_SERVER_URL") or known.get("url") or STUDIO_URL).rstrip("/")
        if token is None:
            # A token goes to the server that it was made for, and to no other.
            stored = known.get("token", "") if known.get("url", "").rstrip("/") == self.url else ""
            token = os.environ.get("KOS_SERVER_TOKEN") or stored
        self.token = token
        if not self.url.startswith(("http://", "https://")):
            raise KosError(f"not a server's address: {self.url!r}", hint="http://HOST:PORT or https://HOST")

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, query=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body)

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, body)

    def call(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """One request of the API; the JSON of its answer.

        Raises:
            KosError: the server refused (with its own words and hint), or cannot be reached.
        """
        data = None if body is None else json.dumps(body).encode()
        with self.open(method, path, data, "application/json", query) as answer:
            raw = answer.read(ANSWER_MAX)
        return json.loads(raw) if raw else None

    def upload(self, path: str, file: Path, **query: Any) -> Any:
        """Send a file as it is."""
        with file.open("rb") as source:
            headers = {"Content-Length": str(file.stat().st_size)}
            with self.open("POST", path, source, "application/zip", query, headers) as answer:
                return json.loads(answer.read(ANSWER_MAX))

    def lines(self, path: str, **query: Any) -> Iterator[str]:
        """An answer of text, line by line."""
        with self.open("GET", path, query=query) as answer:
            try:
                for line in answer:
                    yield line.decode("utf-8", "replace").rstrip("\r\n")
            except (OSError, HTTPException) as error:
                reason = str(error) or type(error).__name__
                raise KosError(f"the connection was lost: {reason}", where=self.url) from error

    def events(self, path: str, **query: Any) -> Iterator[tuple[str, Any]]:
        """Server-sent events as they come: kind and JSON; `("", None)` for each sign of life between them."""
        kind = ""
        for line in self.lines(path, **query):
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, json.loads(line.removeprefix("data: "))
            elif line.startswith(":"):
                yield "", None

    def open(
        self,
        method: str,
        path: str,
        data: Any = None,
        kind: str = "",
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        text = urlencode({key: value for key, value in (query or {}).items() if value not in (None, "")})
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}" + (f"?{text}" if text else ""),
            data=data,
            method=method,
            headers={"Accept": "application/json", **(headers or {})},
        )
        if data is not None:
            request.add_header("Content-Type", kind)
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            raise _refusal(error, self.url) from error
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise KosError(
                f"no answer: {reason}", where=self.url, hint="kos-tool server.start starts a Studio here"
            ) from error

    # --- what several commands look up --------------------------------------------------------------------
    def device(self, name: str) -> dict[str, Any]:
        """The one device of this name, id, or beginning of an id."""
        found = self.get("/devices", query=f"id:{name}")["devices"] if _is_hex(name) else []
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        found = found or self.get("/devices", query=f'name:"{quoted}"', limit=PAGE)["devices"]
        exact = [one for one in found if name in (one["id"], one["name"])] or found
        if len(exact) != 1:
            what = "no device" if not exact else f"{len(exact)} devices"
            raise KosError(f"{what} called {name!r}", hint="kos-tool server.devices.list shows all")
        return exact[0]

    def release(self, name: str) -> dict[str, Any]:
        """A release by number, digest, `system version`, or version."""
        releases = self.get("/releases", limit=PAGE)
        for one in releases:
            if name in (str(one["id"]), f"{one['system']} {one['version']}", one["version"]):
                return one
            if len(name) >= 8 and one["manifest"].startswith(name):
                return one
        raise KosError(f"no release called {name!r}", hint="kos-tool server.upload_release brings one")

    def overlay(self, name: str) -> dict[str, Any]:
        """An overlay by number, name, or beginning of its digest."""
        for one in self.get("/overlays", limit=PAGE):
            if name in (str(one["id"]), one["name"]) or (len(name) >= 8 and one["sha256"].startswith(name)):
                return one
        raise KosError(f"no overlay called {name!r}", hint="kos-tool server.upload_overlay brings one")

    def channel(self, name: str) -> dict[str, Any]:
        """A channel of notifications by number or name."""
        for one in self.get("/notifications/channels"):
            if name in (str(one["id"]), one["name"]):
                return one
        raise KosError(f"no channel called {name!r}", hint="kos-tool server.notifications.list shows all")

    def retention_rule(self, pattern: str) -> dict[str, Any]:
        """The rule of this pattern."""
        for one in self.get("/retention")["rules"]:
            if one["pattern"] == pattern:
                return one
        raise KosError(f"no rule for {pattern!r}", hint="kos-tool server.retention.list shows all")

    def wait_for_update(self, device: str, version: int, seconds: float) -> dict[str, Any]:
        """Until the device has said what became of the desired version. Raises KosError after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.get(f"/devices/{quote(device)}")
            ends = ("healthy", "failed", "reverted")
            if found["update_version"] == version and found["update_state"] in ends:
                return found
            if time.monotonic() > deadline:
                raise KosError(
                    f"the device is {found['update_state']} after {seconds:g} s",
                    hint="see its console: it goes on by itself",
                )
            time.sleep(0.3)


def _is_hex(text: str) -> bool:
    return 4 <= len(text) <= 32 and all(character in "0123456789abcdef" for character in text)


def _refusal(error: urllib.error.HTTPError, url: str) -> KosError:
    try:
        problem = json.loads(error.read(1 << 20))
        message, hint = problem.get("detail") or problem["title"], problem.get("hint")
    except (ValueError, KeyError):
        message, hint = f"{error.code} {error.reason}", None
    if error.code == 401 and not hint:
        hint = "kos-tool server.login URL --token TOKEN"
    return KosError(message, where=url, hint=hint)
