"""Kinds of files that commands read: a good one of each, and what is wrong with others."""

from __future__ import annotations

import functools
import json
import sqlite3
import tarfile
import tempfile
import zipfile
from pathlib import Path

from kos.build import manifest_zip, overlay_zip
from kos.keys import pairs
from kos.manifest import Context, System
from kos.server.core.db.database import HEAD
from kos.systems import Poukai
from tests.build.projects import SYSTEM, put, python_app
from tests.tool.sweep.kinds import (
    HUGE,
    SOME,
    Either,
    File,
    Folder,
    declaring,
    link,
    tarred,
    zipped,
)

DEEP = b"[" * 60_000
KEY = bytes(range(32))
DIGEST = "0" * 64


# --- projects -----------------------------------------------------------------------------------------------
def _project(path: Path) -> None:
    put(path, system_py=SYSTEM)
    python_app(path / "apps/station")


def _with(name: str, content: bytes | None):
    """A project one file of which is something else; None is a folder."""

    def fill(path: Path) -> None:
        _project(path)
        (path / name).unlink(missing_ok=True)
        (path / name).mkdir() if content is None else (path / name).write_bytes(content)

    return fill


def _huge(path: Path) -> None:
    _project(path)
    with (path / "system.py").open("wb") as file:
        file.truncate(HUGE)


def _shut(path: Path) -> None:
    _project(path)
    (path / "system.py").chmod(0)


PROJECT = Folder(
    _project,
    {
        "of garbage": _with("system.py", SOME),
        "of nothing": _with("system.py", b""),
        "of a folder": _with("system.py", None),
        "of a huge file": _huge,
        "of a shut file": _shut,
        "with settings of garbage": _with("config.toml", SOME),
        "with deep settings": _with("config.toml", b"a=" + DEEP),
    },
)

# Where a new app goes: nothing of it is read.
PLACE = Folder(_project, {"of a folder": _with("system.py", None)})


# --- archives -----------------------------------------------------------------------------------------------
@functools.cache
def archive(rate: str = "5") -> bytes:
    """A system of one service; another rate is another environment."""

    class Small(System):
        base = Poukai

        def setup(self, ctx: Context) -> Context:
            return ctx.update_app("log_server", environ={"RATE": rate})

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "manifest.zip")
        manifest_zip.write(path, Small().manifest("host"), {})
        return path.read_bytes()


@functools.cache
def overlay() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "overlay.zip")
        overlay_zip.write(path, {"format": "kos.overlay", "version": 1, "settings": {"heartbeat": 5}}, {})
        return path.read_bytes()


def _archives(good: bytes, other: bytes, document: str) -> dict[str, bytes]:
    """What is no archive of ours, though it may be a zip."""
    blob = f"blobs/sha256/{DIGEST}"
    newer = good.replace(b'"version":1', b'"version":2')
    return {
        "of the other kind": other,
        "of a newer version": newer,
        "tampered": good.replace(b"kos", b"KOS", 1),
        "declaring much": declaring(good, (1 << 32) - 1),
        "climbing": zipped(document, "../../escaped"),
        "absolute": zipped(document, "/tmp/escaped"),
        "climbing inside": zipped(document, "blobs/sha256/../../../escaped"),
        "a blob that nobody named": zipped(document, blob),
        "a bomb": zipped(document, content=bytes(8 << 20), method=zipfile.ZIP_DEFLATED),
        "a tar": tarred((document, b"{}")),
        "twice": good + good,
        "more behind": good + b"\0",
    }


ARCHIVE = File(".zip", archive, lambda: _archives(archive(), overlay(), "manifest.json"))
CHANGED = File(".zip", lambda: archive("6"), ARCHIVE.wrong)
SOURCE = Either((PROJECT, ARCHIVE))


# --- keys and trust -----------------------------------------------------------------------------------------
PRIVATE = File(
    ".key",
    lambda: KEY,
    lambda: {"long": KEY + b"\n", "hexadecimal": KEY.hex().encode(), "pem": b"-----BEGIN PRIVATE KEY-----\n"},
)
PUBLIC = File(".pub", PRIVATE.good, PRIVATE.wrong)
# A gateway makes its key where there is none.
GATEWAY_KEY = File(".key", PRIVATE.good, PRIVATE.wrong, fine=("missing",))


def _keys(path: Path) -> None:
    pairs.generate(path, sorted(pairs.DEVICE_KEYS.items()))


def _keys_with(name: str, content: bytes | None, mode: int = 0o600):
    def fill(path: Path) -> None:
        _keys(path)
        (path / name).unlink(missing_ok=True)
        if content is None:
            (path / name).mkdir()
        else:
            (path / name).write_bytes(content)
            (path / name).chmod(mode)

    return fill


def _huge_key(path: Path) -> None:
    _keys(path)
    with (path / "server.key").open("wb") as file:
        file.truncate(HUGE)


KEYS = Folder(
    _keys,
    {
        "with a short key": _keys_with("server.key", KEY[:-1]),
        "with an open key": _keys_with("server.key", KEY, 0o644),
        "with a folder for a key": _keys_with("tunnel.key", None),
        "with a folder for a public key": _keys_with("tunnel.pub", None),
        "with a huge key": _huge_key,
        "with a shut key": _keys_with("server.key", KEY, 0),
        "with a strange tunnel": _keys_with("tunnel.json", b"[]"),
        "with a tunnel of garbage": _keys_with("tunnel.json", SOME),
        "with a deep tunnel": _keys_with("tunnel.json", DEEP),
        "with a folder for a tunnel": _keys_with("tunnel.json", None),
    },
)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


_TRUST = {"format": "kos.trust", "version": 1, "threshold": 1, "keys": ["a" * 64]}
_NO_JSON = {"an array": b"[]", "null": b"null", "deep": DEEP, "a number": b"1e999", "latin": b'"\xe9"'}
TRUST = File(
    ".json",
    lambda: _json(_TRUST),
    lambda: (
        _NO_JSON
        | {
            "of a newer version": _json(_TRUST | {"version": 2}),
            "without keys": _json(_TRUST | {"keys": []}),
            "with keys that are none": _json(_TRUST | {"keys": [5]}),
            "with too many keys": _json(_TRUST | {"keys": ["a" * 64] * 100_000}),
            "wanting more than there are": _json(_TRUST | {"threshold": 2}),
        }
    ),
)


# --- what assurance reads -----------------------------------------------------------------------------------
_TOML = {"latin": b'a = "\xe9"', "deep": b"a = " + DEEP, "json": b"{}"}
SIGNING_KEYS = File(
    ".toml",
    lambda: f'[[key]]\npublic = "{"a" * 64}"\nuse = "release"'.encode(),
    lambda: _TOML | {"one key": b"key = 5", "of something else": b"[[waiver]]"},
    fine=("empty",),
)
WAIVERS = File(
    ".toml",
    lambda: b'[[waiver]]\nrule = "sensitive-port"\nowner = "Ada"\nexpires = 2999-01-01\nreason = "r"',
    lambda: _TOML | {"one waiver": b"waiver = [5]", "of something else": b"[[key]]"},
    fine=("empty",),
)
STATUS = File(".json", lambda: b'{"apps": {}, "msg_servers": {}}', lambda: _NO_JSON | {"else": b'{"a": 1}'})
SBOM = File(
    ".json",
    lambda: b'{"components": []}',
    lambda: _NO_JSON | {"of something else": b'{"components": 5}', "of numbers": b'{"components": [5]}'},
)

# --- others -------------------------------------------------------------------------------------------------
LOCK = File(
    ".json",
    lambda: b'{"format": "kos.sdk.lock", "version": "1.0.0", "sets": {}}',
    lambda: (
        _NO_JSON
        | {
            "of something else": b'{"format": "else", "version": "1.0.0", "sets": {}}',
            "with strange sets": b'{"format": "kos.sdk.lock", "version": "1.0.0", "sets": {"a": [{"b": 1}]}}',
            "with strange packages": b'{"format": "kos.sdk.lock", "version": "1.0.0", "sets": {"a": 5}}',
        }
    ),
)
PEERS = File(
    ".json",
    lambda: b"{}",
    lambda: {**_NO_JSON, "strange": b'{"a": 5}', "no key": b'{"a": {"public_key": 5, "addresses": ["x"]}}'},
    fine=("missing",),  # written later by somebody else
)
OVERLAY = File(
    ".json",
    lambda: b'{"format": "kos.overlay", "version": 1, "settings": {"heartbeat": 5}}',
    lambda: (
        _NO_JSON
        | {
            "of a newer version": b'{"format": "kos.overlay", "version": 2, "settings": {}}',
            "of something else": b'{"format": "kos.manifest", "version": 1}',
            "with what nobody knows": b'{"format": "kos.overlay", "version": 1, "what": 1}',
        }
    ),
)
OVERLAY_ZIP = File(".zip", overlay, lambda: _archives(overlay(), archive(), "overlay.json"))
CSV = File(
    ".csv",
    lambda: b'public_key,name\n"' + b"ab" * 32 + b'",pump"',
    lambda: {
        "of no key": b"name,tags\npump,lab\n",
        "of a wrong key": b"public_key,name\nzz,pump\n",
        "of too many": b"public_key,name\n" + b"ab\n" * 200_000,
        "with more columns than names": b"public_key\n" + b"a,b,c\n",
    },
    fine=("truncated",),
)
BOOT_LOADER = File(".bin", lambda: SOME, fine=("truncated", "garbage", "png"))
PROGRAM = File("", lambda: Path("/proc/self/exe").read_bytes()[:8192], fine=("truncated",))
CONSOLE = File(
    ".log",
    lambda: b"|      1.000| station            | hello\n",
    fine=("truncated", "garbage", "empty", "png"),
)
SERIAL = File("", lambda: SOME)  # a board's console is a terminal, which no file is


# --- backups ------------------------------------------------------------------------------------------------
@functools.cache
def database(revision: str = "") -> bytes:
    """A database that has tables and says which version it is of; "" is none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "server.db")
        with sqlite3.connect(path) as made:
            made.execute("create table organisations (id integer)")
            if revision:
                made.execute("create table alembic_version (version_num text)")
                made.execute("insert into alembic_version values (?)", (revision,))
        made.close()
        return path.read_bytes()


def _backup(*more: tuple[str, bytes | tarfile.TarInfo], db: bytes | None = None, mode: str = "w") -> bytes:
    given = [("server.db", database(HEAD) if db is None else db), ("keys/session.key", KEY)]
    return tarred(*given, *more, mode=mode)


BACKUP = File(
    ".tar",
    _backup,
    lambda: {
        "cut in the middle": _backup()[:9000],
        "cut between members": _backup()[: 512 + len(database(HEAD))],
        "without keys": tarred(("server.db", database(HEAD))),
        "without a database": tarred(("keys/session.key", KEY)),
        "of nothing": tarred(),
        "of something else": tarred(("etc/passwd", b"x")),
        "climbing": _backup(("keys/../../escaped", b"x")),
        "absolute": _backup(("/tmp/escaped", b"x")),
        "with a link out": _backup(("keys/out", link("../../.."))),
        "with a link inside": _backup(("keys/in", link("session.key"))),
        "with a hard link out": _backup(("keys/hard", link("/etc/passwd", tarfile.LNKTYPE))),
        "with a device": _backup(("keys/null", link("", tarfile.CHRTYPE))),
        "with a pipe": _backup(("keys/pipe", link("", tarfile.FIFOTYPE))),
        "of a damaged database": _backup(db=SOME),
        "of another database": _backup(db=database()),
        "of a newer version": _backup(db=database("9999")),
        "compressed": _backup(mode="w:gz"),
    },
)


def _server(path: Path) -> None:
    (path / "keys").mkdir()
    (path / "keys/session.key").write_bytes(KEY)
    (path / "server.db").write_bytes(database(HEAD))


def _damaged(path: Path) -> None:
    _server(path)
    (path / "server.db").write_bytes(SOME)


def _of_folders(path: Path) -> None:
    _server(path)
    (path / "server.db").unlink()
    (path / "server.db").mkdir()


SERVER = Folder(_server, {"with a damaged database": _damaged, "with a folder for a database": _of_folders})
