"""A server that cannot start says why, and its data folder is what it was: after a first start, not there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tool.running import kos_tool
from tests.tool.sweep import goods
from tests.tool.sweep.attempt import attempt, refused, tree
from tests.tool.sweep.places import place

__all__ = ["place"]

START = ["server.start", "--data", "data", "--port", "0", "--bus-port", "0", "--mqtt-port", "-1"]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.delenv("KOS_SERVER_URL")


def holds(name: str, content: bytes) -> Callable[[Path], None]:
    def make(data: Path) -> None:
        data.mkdir()
        (data / name).write_bytes(content)

    return make


def is_file(data: Path) -> None:
    data.write_text("a file")


def is_shut(data: Path) -> None:
    data.mkdir(mode=0o500)


def lies_below_a_file(data: Path) -> None:
    data.symlink_to("no/such/folder/file")
    (data.parent / "no").write_text("a file")


def has_a_folder_for_a_database(data: Path) -> None:
    (data / "server.db").mkdir(parents=True)


DATA = {
    "a damaged database": (holds("server.db", b"\x01" * 8192), "not a database"),
    "half a database": (holds("server.db", goods.database("0001")[:6000]), "the database cannot be used"),
    "a newer database": (holds("server.db", goods.database("9999")), "is of version '9999'"),
    "a database of something else": (holds("server.db", goods.database()), "is not a server's"),
    "a folder for a database": (has_a_folder_for_a_database, "the database cannot be used"),
    "a file": (is_file, "is a file"),
    "a shut folder": (is_shut, "no place for data"),
    "a place below a file": (lies_below_a_file, "data"),
}


@pytest.mark.parametrize("what", DATA)
def test_data_that_it_cannot_use(what: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, said = DATA[what]
    make(place / "data")
    assert not (faults := refused(capfd, place, START, said)), faults


SETTINGS = {
    "HEARTBEAT": ("x", "-1", "0", "nan", "inf", "1e9"),
    "PORT": ("99999", "-1", "", "http"),
    "BUS_PORT": ("-7", "65536"),
    "MQTT_PORT": ("-2",),
    "GATEWAY_PORT": ("65536",),
    "SMTP_PORT": ("0", "70000"),
    "PRODUCT": ("x",),
    "GATEWAY": ("maybe",),
    "GATEWAY_ADDRESS": ("x", "10.0.0.1/99"),
    "LOG": ("LOUD", ""),
    "RETENTION_DAYS": ("-5", "nan"),
    "LOG_LINES_MAX": ("-1", "1.5"),
    "WORKERS": ("-3",),
    "BUS_REPLICAS": ("0", "99"),
    "TRUSTED_KEYS": ("xx", "ab" * 31),
    "SMTP_TLS": ("x",),
    "NOTIFY_PRIVATE": ("zz",),
    "OIDC_ISSUER": ("x", "ftp://x"),
    "OTLP": ("x", "http://"),
    "PUBLIC_URL": ("x", "http://[", "http://a:b"),
    "BUS_URL": ("x", "http://x", "nats://"),
    "DATABASE": ("%%%", "mysql://x", "sqlite:///x"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_none(
    name: str, place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "--" + name.lower().replace("_", "-")
    words = [word for n, word in enumerate(START) if own not in (word, START[n - 1])]
    faults = []
    for value in SETTINGS[name]:
        monkeypatch.setenv(f"KOS_SERVER_{name}", value)
        faults += refused(capfd, place, words)
    assert not faults, "\n\n".join(faults)


def test_a_password_in_an_address_is_not_repeated(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOS_SERVER_DATABASE", "mysql://someone:a-secret@x")
    assert "a-secret" not in attempt(capfd, START).err


@pytest.mark.parametrize("option", ["--port", "--bus-port", "--mqtt-port"])
def test_a_port_that_is_taken(option: str, place: Path) -> None:
    """With a bus of its own, which needs more room than the sweep gives."""
    before = tree(place)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = kos_tool(*START, option, port, cwd=place)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.splitlines()[-2].startswith("error: "), done.stderr
    assert done.stderr.splitlines()[-1].startswith("hint: "), done.stderr
    assert port in done.stderr or option == "--mqtt-port", done.stderr
    assert tree(place) == before


def test_what_was_there_before_stays(place: Path) -> None:
    """A start that fails late takes back what is new, and nothing else."""
    (place / "data/keys").mkdir(parents=True)
    (place / "data/kept").write_text("kept")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = kos_tool(*START, "--bus-port", str(taken.getsockname()[1]), cwd=place)
    assert done.returncode == 1, done
    assert sorted(path.name for path in (place / "data").iterdir()) == ["kept", "keys"]
