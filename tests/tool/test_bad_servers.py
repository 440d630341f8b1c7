"""A server that is none, or that answers anything: every command says so, and changes nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.tool.sweep.attempt import refused
from tests.tool.sweep.entries import SERVER_ENTRIES
from tests.tool.sweep.lines import beside, goods_of, line, parameters
from tests.tool.sweep.places import place

__all__ = ["place"]
LARGE = 10 << 30  # bytes declared


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", f"Content-Length: {size}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


ANSWERS = {
    "nothing": b"",
    "garbage": b"\x16\x03\x01\x00\xee\xff" * 20,
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half an answer": answer(b'{"devices": [', length=500),
    "much declared": answer(b'{"id"', length=LARGE),
    "a page": answer(b"<!doctype html><title>Router</title>", "Content-Type: text/html"),
    "a page of an error": answer(b"<h1>Bad Gateway</h1>", status="502 Bad Gateway"),
    "no object": answer(b"[]"),
    "a list of numbers": answer(b"[1, 2]"),
    "null": answer(b"null"),
    "an empty object": answer(b"{}"),
    "an object of something else": answer(b'{"devices": 5}'),
    "strange devices": answer(b'{"devices": [[]], "total": 1}'),
    "deep": answer(b"[" * 60_000),
    "an error that is none": answer(b"[]", status="400 Bad Request"),
    "an error that steers": answer(b'{"detail": "\\u001b[2J"}', status="400 Bad Request"),
    "no such code": b"HTTP/1.1 9999 What\r\n\r\n",
    "a long head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
}


@contextmanager
def serving(say: Callable[[], bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """A port of this machine that answers every request the same; → its address and what was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with closing(connection):
                    connection.settimeout(30)
                    try:
                        asked.append(connection.recv(65536))
                        connection.sendall(say())
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):
                            pass
                    except OSError:
                        continue  # whoever asked has left

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def lines(name: str, place: Path) -> list[str]:
    """The command with everything right."""
    entry = SERVER_ENTRIES[name]
    good = goods_of(entry.kinds, place)
    given = beside(name, entry, "", good)
    options = {"email": "a@b", "password": "a password of the tests", "key": good.get("key", "")}
    given |= {p.name: options[p.name] for p in parameters(name) if p.required and p.name in options}
    return line(name, {str(one): value for one, value in given.items()})


@pytest.mark.parametrize("name", SERVER_ENTRIES)
def test_a_server_that_answers_anything(
    name: str, place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, faults, said = lines(name, place), [], [b""]
    with serving(lambda: said[0]) as (url, _):
        monkeypatch.setenv("KOS_SERVER_URL", url)
        words = [url if word == "x" and name == "server.login" else word for word in words]
        for what, said[0] in ANSWERS.items():
            if what in ("no object", "a list of numbers") and name.endswith((".list", ".series", ".log")):
                continue  # an empty list is one
            faults += [f"{what}: {fault}" for fault in refused(capfd, place, words)]
    assert not faults, f"{len(faults)}\n" + "\n\n".join(faults)


@pytest.mark.parametrize("name", SERVER_ENTRIES)
def test_a_server_that_is_not_there_or_leads_elsewhere(
    name: str, place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, faults = lines(name, place), []
    monkeypatch.setenv("KOS_SERVER_TOKEN", "a secret")
    with (
        socket.socket() as taken,
        serving(lambda: answer(b"{}")) as (other, asked),
        serving(lambda: answer(b"", f"Location: {other}/", status="307 Elsewhere")) as (url, _),
    ):
        taken.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        for where in (
            f"http://127.0.0.1:{taken.getsockname()[1]}",
            url,
            "ftp://127.0.0.1",
            "http://",
            "http://a b",
            "http://[",
            f"{url}\n",
            "http://127.0.0.1:99999",
        ):
            monkeypatch.setenv("KOS_SERVER_URL", where)
            here = [where if word == "x" and name == "server.login" else word for word in words]
            faults += [f"{where}: {fault}" for fault in refused(capfd, place, here)]
    assert not asked, "a request went elsewhere"
    assert not faults, f"{len(faults)}\n" + "\n\n".join(faults)
