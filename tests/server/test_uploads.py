"""Hostile uploads: refused, and the disk is as it was before."""

from __future__ import annotations

import hashlib
import io
import socket
import zipfile
from pathlib import Path

import pytest

from kos.build import manifest_zip
from kos.manifest import App, BuiltPythonImage, Context
from tests.server.archives import archive
from tests.server.running import Server, wait_for

pytestmark = pytest.mark.group("server")


def files(server: Server) -> set[str]:
    folder = server.settings.blobs
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def zipped(**entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return out.getvalue()


def attack(name: str, good: bytes) -> bytes:
    match name:
        case "empty":
            return b""
        case "not-a-zip":
            return b"hello" * 100
        case "zip-bomb":
            return zipped(**{"manifest.json": b"0" * (64 << 20)})
        case "path-traversal":
            return zipped(**{"../../../etc/passwd": b"root"})
        case "cut-short":
            return good[: len(good) // 2]
        case "one-bit-wrong":
            at = good.index(b"pump_station")
            return good[:at] + b"q" + good[at + 1 :]
        case "something-behind":
            return good + b"more"
        case "something-before":
            return b"MZ" + good
        case "another-signature":
            return good.replace(b'"version"', b'"versiom"')
    raise AssertionError(name)


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "not-a-zip",
        "zip-bomb",
        "path-traversal",
        "cut-short",
        "one-bit-wrong",
        "something-behind",
        "something-before",
        "another-signature",
    ],
)
def test_refused(studio: Server, tmp_path: Path, name: str) -> None:
    before = files(studio)
    body = attack(name, archive(tmp_path, "1.0").read_bytes())
    with studio.client() as client:
        answer = client.post("/api/v1/releases", content=body)
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(studio.settings.data) not in answer.text, "no path of the server is told"
        assert client.get("/api/v1/releases").json() == []
    assert files(studio) == before


def test_of_an_archive_with_one_wrong_blob_nothing_is_kept(studio: Server, tmp_path: Path) -> None:
    context = Context("two", release="1.0").put_msg_server("msg0")
    blobs = {}
    for name in ("a", "b"):
        text = name.encode() * 3000
        digest = hashlib.sha256(text).hexdigest()
        blobs[digest] = tmp_path / digest
        blobs[digest].write_bytes(text)
        context = context.put_app(App(name, BuiltPythonImage(digest, len(text), "main:main")))
    path = tmp_path / "two.zip"
    manifest_zip.write(path, context.manifest(), blobs)
    good = path.read_bytes()
    last = blobs[max(blobs)].read_bytes()
    before = files(studio)
    with studio.client() as client:
        bad = good.replace(last, b"x" + last[1:])
        answer = client.post("/api/v1/releases", content=bad)
        assert answer.status_code == 400 and "damaged" in answer.json()["detail"]
        assert files(studio) == before, "the first blob is whole and stays nowhere"
        assert client.post("/api/v1/releases", content=good).status_code == 201


def test_ten_gigabytes_are_not_waited_for(studio: Server) -> None:
    before = files(studio)
    with socket.create_connection(("127.0.0.1", studio.settings.port), 10) as connection:
        head = f"POST /api/v1/releases HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {10 << 30}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert files(studio) == before


def test_an_upload_that_breaks_off_leaves_nothing(studio: Server) -> None:
    before = files(studio)
    with socket.create_connection(("127.0.0.1", studio.settings.port), 10) as connection:
        connection.sendall(
            b"POST /api/v1/releases HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n"
            + b"x" * 5000
        )
        wait_for(lambda: files(studio) != before, "the upload begins")
    wait_for(lambda: files(studio) == before, "what had come is removed")


def test_a_large_body_is_refused_everywhere_else(studio: Server) -> None:
    with studio.client() as client:
        answer = client.post("/api/v1/groups", content=b"x" * ((1 << 20) + 1))
        assert answer.status_code == 413


def test_downloads_go_on_where_they_stopped(studio: Server, tmp_path: Path) -> None:
    with studio.client() as client:
        path = archive(tmp_path, "7.0")
        release = client.post("/api/v1/releases", content=path.read_bytes()).json()
        url = f"/artifacts/sha256/{release['manifest']}"
        whole = client.get(url).content
        part = client.get(url, headers={"range": "bytes=100-"})
        assert part.status_code == 206 and part.content == whole[100:]
        assert client.head(url).headers["content-length"] == str(len(whole))
        assert client.get(f"/artifacts/sha256/{'0' * 64}").status_code == 404
        token = studio.services.tokens.issue("ab" * 16)
        assert client.get(url, headers={"authorization": f"Bearer {token}"}).status_code == 401
        for wrong in (b"x.1.y", b"x.\xb2.y", b"x.1.\xe4", b"x." + b"1" * 5000 + b".y", b"x"):
            assert client.get(url, headers={"authorization": b"Bearer " + wrong}).status_code == 401
        assert client.delete(f"/api/v1/releases/{release['id']}").status_code == 204
        assert client.get(url).status_code == 404
        assert not any(release["manifest"] in name for name in files(studio))
