"""Bad input to every command: a clear error with the next step, exit 1, and nothing changed."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from pathlib import Path

import pytest

from kos.manifest import limits
from tests.build.projects import SYSTEM, put, python_app
from tests.tool.running import kos_tool

PROJECT_COMMANDS = ["manifest", "run", "watch", "graph", "manifest.check"]
ARCHIVE_COMMANDS = ["run", "graph"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a good project, beside which things are wrong."""
    put(tmp_path / "good", system_py=SYSTEM)
    python_app(tmp_path / "good/apps/station")
    return tmp_path


def state(root: Path) -> dict[str, str]:
    """Every file below, with its contents."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(root.rglob("*"))
        if "__pycache__" not in path.parts
    }


def refuse(place: Path, *arguments: str, expect: str, **environment: str) -> None:
    """The command must fail as the user's mistake, say why and what next, and leave everything as it was."""
    runtime = place / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    (runtime / "kos").mkdir(mode=0o700, exist_ok=True)
    before = state(place)
    done = kos_tool(*arguments, cwd=place, XDG_RUNTIME_DIR=str(runtime), **environment)
    assert done.returncode == 1, done.stderr
    assert expect in done.stderr
    assert done.stderr.startswith(("error: ", "• ")) and "\nhint: " in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert state(place) == before


@pytest.mark.parametrize("command", PROJECT_COMMANDS)
@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_no_project(place, command, what):
    (place / "empty").mkdir()
    (place / "file").write_text("not Python (")
    expect = {"missing": "missing", "empty": "system.py", "file": "file"}[what]
    done = kos_tool(command, what, cwd=place)
    assert done.returncode == 1 and done.stdout == "" and expect in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["manifest", "run", "graph"])
@pytest.mark.parametrize(
    ("platform", "expect"),
    [
        ("qemu", "there is no platform 'qemu'"),
        ("x86_64", "x86_64 is disabled in this release"),
        ("imx8mm-evk,arch=aarch32", "has no arch=aarch32"),
        ("am335x,hyp=on", "cannot run microVMs"),
        ("host,", "expected key=value"),
        ("../../etc", "there is no platform"),
        ("p" * 1000, "a platform spec is text of at most"),
    ],
)
def test_platforms(place, command, platform, expect):
    done = kos_tool(command, "good", "-p", platform, cwd=place)
    assert done.returncode == 1 and expect in done.stderr and done.stdout == ""
    assert not (place / "good/build").exists()


@pytest.mark.parametrize(
    ("text", "expect"),
    [
        ("", "defines no System"),
        ("def (", "system.py:1"),
        ("1/0", "ZeroDivisionError"),
        ("import nothing_of_that_name", "nothing_of_that_name"),
        (SYSTEM.replace("apps/station", "/etc"), "a path inside the project"),
        (SYSTEM.replace("apps/station", "../outside"), "a path inside the project"),
        (SYSTEM.replace("apps/station", "apps/none"), "there is no directory 'apps/none'"),
        (SYSTEM.replace('"station", ', '"Station", '), "an app's name"),
        (SYSTEM.replace("return ctx.put", "ctx.put"), "expected a Context"),
    ],
)
def test_systems(place, text, expect):
    put(place / "good", system_py=text)
    done = kos_tool("manifest", "good", cwd=place)
    assert done.returncode == 1 and expect in done.stderr and done.stdout == ""
    assert not (place / "good/build").exists()


@pytest.mark.parametrize(
    ("text", "expect"),
    [
        ("[", "config.toml"),
        ("#" * (limits.PROJECT_CONFIG_BYTES_MAX + 1), "config.toml"),
    ],
)
def test_settings(place, text, expect):
    (place / "good/config.toml").write_text(text)
    done = kos_tool("manifest", "good", cwd=place)
    assert done.returncode == 1 and expect in done.stderr and done.stdout == ""


@pytest.mark.parametrize("command", ARCHIVE_COMMANDS)
@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"nothing", b"PK\5\6" + bytes(18)])
def test_archives(place, command, content):
    (place / "bad.zip").write_bytes(content)
    refuse(place, command, "bad.zip", expect="bad.zip")


def test_keys_for_a_studio_that_listens(place):
    """A device's keys are made once there is a device."""
    with socket.create_server(("127.0.0.1", 0)) as bus:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = bus.accept()
                    with connection:
                        connection.sendall(b"INFO {}\r\n")

        threading.Thread(target=greet, daemon=True).start()
        (place / "bad.zip").write_bytes(b"nothing")
        (place / "state").mkdir()
        port = str(bus.getsockname()[1])
        refuse(
            place, "run", "bad.zip", expect="bad.zip",
            KOS_SERVER_BUS_PORT=port, XDG_STATE_HOME=str(place / "state"),
        )  # fmt: skip
        bus.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("command", PROJECT_COMMANDS)
def test_a_system_that_is_no_text(place, command):
    put(place / "binary", system_py="x\0y")
    refuse(place, command, "binary", expect="system.py")


def test_an_archive_of_another_platform(place):
    assert kos_tool("manifest", "good", "-p", "qemu-arm-virt", "-o", "m.zip", cwd=place).returncode == 0
    refuse(place, "run", "m.zip", expect="built for qemu-arm-virt, asked to run on host")


def test_an_archive_that_was_tampered_with(place):
    assert kos_tool("manifest", "good", "-o", "m.zip", cwd=place).returncode == 0
    data = bytearray((place / "m.zip").read_bytes())
    data[data.index(b"def main")] ^= 1
    (place / "m.zip").write_bytes(data)
    refuse(place, "run", "m.zip", expect="is damaged")


@pytest.mark.parametrize(
    ("arguments", "expect"),
    [
        (["new.system"], "Missing argument"),
        (["new.system", "Bad Name"], "cannot be a name"),
        (["new.system", "../up"], "cannot be a name"),
        (["new.system", "n" * 33], "cannot be a name"),
        (["new.system", "good"], "is there already"),
        (["new.app.c", "blink"], "no system.py"),
        (["new.app.c", "blink", "--project", "none"], "does not exist"),
        (["new.app.c", "station", "--project", "good"], "is there already"),
        (["new.app.python", "json", "--project", "good"], "means something to Python"),
        (["new.app.python", "class", "--project", "good"], "means something to Python"),
        (["manifest", "good", "-o", "."], "is a directory"),
        (["manifest", "good", "--locked", "extra"], "unexpected extra argument"),
        (["run", "good", "--name", "../x"], "cannot be a run's name"),
        (["run", "good", "--keys", "none"], "does not exist"),
        (["run", "good", "--keys", "good"], "cannot be read"),
        (["run", "good", "-p", "am335x"], "no am335x waits in fastboot"),
        (["watch", "good", "-p", "am335x"], "this machine only"),
        (["status"], "no system is running"),
        (["status", "none"], "no system named 'none'"),
        (["stop"], "no system is running"),
        (["stop", "../.."], "no system named"),
        (["console"], "no system is running"),
        (["console", "--file", "none"], "does not exist"),
        (["console", "good", "--file", "good/system.py"], "not both"),
        (["keys.generate"], "Missing argument"),
        (["keys.generate", "good/system.py"], "is a file"),
        (["keys.generate", "keys", "--signing", "../x"], "cannot be a key's name"),
        (["deps.check", "nothing"], "there is no group 'nothing'"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["demo", "--twice"], "No such option"),
        (["manifest", "good", "-o", "n" * 300], "File name too long"),
        (["run", "good/apps/station/pyproject.toml"], "not a Python file"),
        (["build", "good", "-p", "x" * 300], "at most 128 characters"),
        (["network.enable_forwarding", "--interface", "x" * 300], "no name of a network interface"),
        (["server.devices.announce", "good/apps"], "is a directory"),
        (["server.devices.announce", "/bin/true"], "is not a CSV file"),
        (["server.devices.announce", "/dev/zero"], "at most"),
        (["server.backup", "none.zip", "--data", "none"], "no server keeps its data there"),
    ],
)
def test_arguments(place, arguments, expect):
    refuse(place, *arguments, expect=expect)


def test_a_run_directory_that_is_open_to_others(place):
    runtime = place / "runtime"
    (runtime / "kos").mkdir(parents=True)
    (runtime / "kos").chmod(0o755)
    done = kos_tool("status", cwd=place, XDG_RUNTIME_DIR=str(runtime))
    assert done.returncode == 1 and "closed to others" in done.stderr and "chmod 700" in done.stderr


def test_a_destination_that_cannot_be_written(place):
    (place / "file").write_text("in the way")
    done = kos_tool("manifest", "good", "-o", "file/m.zip", cwd=place)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert (place / "file").read_text() == "in the way"
