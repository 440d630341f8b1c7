"""Speaks with a Studio or Fleet Server for the commands `server.…`: HTTP, JSON, problems as errors.

Which server: `--server`, else `KOS_SERVER_URL`, else the one of the last `server.login`, else Studio on this
machine. Uses the standard library only, so that a command starts fast.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

import click

from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.abi.session import HTTP_PORT
from kos.tool import server_answers

STUDIO_URL = f"http://127.0.0.1:{HTTP_PORT}"
TIMEOUT = 30.0  # seconds
NO_CONTENT = 204
ANSWER_MAX = 64 << 20  # bytes
LINE_MAX = 16 << 20  # bytes of one line of text
PROBLEM_MAX = 1 << 20  # bytes
WORDS_MAX = 2000  # characters of a server's own words
LOGIN_MAX = 64 << 10  # bytes
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


def _known() -> dict[str, str]:
    """What `server.login` remembered. Raises KosError for a file that it did not write."""
    path = login_file()
    if not path.exists():
        return {}
    try:
        known = json.loads(read_bounded(path, LOGIN_MAX))
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict) or not all(isinstance(one, str) for one in known.values()):
        raise KosError(
            "expected what server.login remembers",
            where=str(path),
            hint="log in again: kos-tool server.login URL",
        )
    return known


def remember(url: str, token: str) -> None:
    """Keep an address and a token for later commands, readable for the owner only."""
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        json.dump({"url": url, "token": token}, file)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """No API of ours redirects; whoever does is another program, or wants our requests elsewhere."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class ServerClient:
    """One server, as one user."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        known = _known()
        self.url = (url or os.environ.get("KOS_SERVER_URL") or known.get("url") or STUDIO_URL).rstrip("/")
        if token is None:
            # A token goes to the server that it was made for, and to no other.
            stored = known.get("token", "") if known.get("url", "").rstrip("/") == self.url else ""
            token = os.environ.get("KOS_SERVER_TOKEN") or stored
        self.token = token
        if not _is_address(self.url):
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
            return self._checked(answer, method, path)

    def _checked(self, answer: Any, method: str, path: str) -> Any:
        """The JSON of an answer, in the form that this request has. Raises KosError."""
        if method == "DELETE":
            if answer.status == NO_CONTENT:
                return None
            raise self.strange(f"{answer.status}")
        found = self._read(answer)
        if said := server_answers.fault(server_answers.form_of(method, path), found):
            raise self.strange(said)
        return found

    def _read(self, answer: Any) -> Any:
        """The JSON of an answer. Raises KosError: it is cut short, too long, or something else."""
        try:
            raw = answer.read(ANSWER_MAX + 1)
            if len(raw) > ANSWER_MAX or (answer.length or 0) > 0:
                raise self.strange(f"more than {ANSWER_MAX} bytes")
            return json.loads(raw) if raw else None
        except (OSError, HTTPException) as error:
            raise self.strange(f"an answer that is cut short: {error}") from error
        except (ValueError, RecursionError) as error:
            raise self.strange("no JSON") from error

    def strange(self, what: str) -> KosError:
        """What to say of an answer that no Studio or Fleet Server of this version gives."""
        return KosError(
            f"expected the answer of a Studio or Fleet Server, found {what}",
            where=self.url,
            hint="is that the server's address, and the server of this version?",
        )

    def upload(self, path: str, file: Path, **query: Any) -> Any:
        """Send a file as it is."""
        if not file.is_file():  # a device would go on for ever
            raise KosError("expected a file", where=str(file))
        with file.open("rb") as source:
            headers = {"Content-Length": str(file.stat().st_size)}
            with self.open("POST", path, source, "application/zip", query, headers) as answer:
                return self._checked(answer, "POST", path)

    def lines(self, path: str, **query: Any) -> Iterator[str]:
        """An answer of text, line by line."""
        with self.open("GET", path, query=query) as answer:
            self._check_kind(answer, "text/")
            try:
                while line := answer.readline(LINE_MAX + 1):
                    if len(line) > LINE_MAX:
                        raise self.strange(f"a line of more than {LINE_MAX} bytes")
                    yield line.decode("utf-8", "replace").rstrip("\r\n")
                if answer.length:
                    raise self.strange("an answer that is cut short")
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
                try:
                    yield kind, json.loads(line.removeprefix("data: "))
                except (ValueError, RecursionError) as error:
                    raise self.strange("no JSON") from error
            elif line.startswith(":"):
                yield "", None

    def save(self, path: str, file: BinaryIO, **query: Any) -> None:
        """Write an answer that is a file, all of it."""
        with self.open("GET", path, query=query) as answer:
            self._check_kind(answer, "text/", "application/")
            try:
                shutil.copyfileobj(answer, file)
            except (OSError, HTTPException) as error:
                raise self.strange(f"an answer that is cut short: {error}") from error
            if answer.length:
                raise self.strange("an answer that is cut short")

    def _check_kind(self, answer: Any, *kinds: str) -> None:
        """That an answer is no page of some other program."""
        found = answer.headers.get("Content-Type", "nothing")
        if not found.startswith(kinds) or found.startswith("text/html"):
            raise self.strange(found)

    def open(
        self,
        method: str,
        path: str,
        data: Any = None,
        kind: str = "",
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        try:
            text = urlencode({key: value for key, value in (query or {}).items() if value not in (None, "")})
        except UnicodeEncodeError as error:
            raise KosError(f"not text: {error.object!r}", hint="the server takes UTF-8") from None
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
            return _OPENER.open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            raise _refusal(error, self.url) from error
        except (HTTPException, ValueError) as error:  # also an address that is none
            raise self.strange(str(error) or type(error).__name__) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise KosError(
                f"no answer: {reason}", where=self.url, hint="kos-tool server.start starts a Studio here"
            ) from error

    # --- what several commands look up --------------------------------------------------------------------
    def device(self, name: str) -> dict[str, Any]:
        """The one device of this name, id, or beginning of an id."""
        found = self._devices(f"id:{name}") if _is_hex(name) else []
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        found = found or self._devices(f'name:"{quoted}"')
        exact = [one for one in found if name in (one["id"], one["name"])] or found
        if len(exact) != 1:
            what = "no device" if not exact else f"{len(exact)} devices"
            raise KosError(f"{what} called {name!r}", hint="kos-tool server.devices.list shows all")
        return exact[0]

    def _devices(self, query: str) -> list[Any]:
        return self.get("/devices", query=query, limit=PAGE)["devices"]

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


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half an IPv6 address
        return False


def _is_hex(text: str) -> bool:
    return 4 <= len(text) <= 32 and all(character in "0123456789abcdef" for character in text)


def _plain(text: str) -> str:
    """Words of a server, which may not steer the terminal."""
    return "".join(one if one.isprintable() else " " for one in text)[:WORDS_MAX]


def _refusal(error: urllib.error.HTTPError, url: str) -> KosError:
    message, hint = f"{error.code} {error.reason}", None
    try:
        problem = json.loads(error.read(PROBLEM_MAX))
        if isinstance(problem, dict) and isinstance(
            said := problem.get("detail") or problem.get("title"), str
        ):
            message, hint = said, problem.get("hint")
    except (ValueError, RecursionError, OSError, HTTPException):
        pass  # not one of our servers; the code says enough
    if 300 <= error.code < 400:
        message = f"it leads elsewhere, to {error.headers.get('Location')}"
        hint = "name the server itself with --server"
    message, hint = _plain(message), _plain(hint) if isinstance(hint, str) else None
    if error.code == 401 and not hint:
        hint = "kos-tool server.login URL --token TOKEN"
    return KosError(message, where=url, hint=hint)
