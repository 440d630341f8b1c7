"""A device's private keys while its system runs: in no argument list, environment, log or file but theirs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kos.keys import pairs
from tests.tool.running import going_on, kos_tool

from .secrets_watch import ArgumentWatch, forms, shows

pytestmark = pytest.mark.group("security")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/hello"


@pytest.fixture
def keys(tmp_path):
    pairs.generate(tmp_path / "keys", pairs.DEVICE_KEYS.items())
    return tmp_path / "keys"


def test_a_running_system_shows_no_private_key(keys, tmp_path):
    """Its key store holds them and its self-test signs with one: that is when they are in use."""
    secrets = [(keys / f"{name}.key").read_bytes() for name in pairs.DEVICE_KEYS]
    looked_for = [form for secret in secrets for form in forms(secret)]
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    place = {"XDG_RUNTIME_DIR": str(runtime)}
    with ArgumentWatch(secrets) as watch:
        with going_on("run", EXAMPLE, "--keys", keys, output=tmp_path / "out", **place) as run:
            run.until_printed("passed key store")
            run.until_printed("apps ready")
            while watch.looks <= 5:  # on a busy machine the watch may not have got that far
                watch.look()
            for path in (path for path in runtime.rglob("*") if path.is_file() and not path.is_symlink()):
                try:
                    data = path.read_bytes()
                except FileNotFoundError:
                    continue  # it was replaced, or is no longer needed
                held = shows(data, looked_for)
                assert held == (path.parent.name == "keys" and path.suffix == ".key"), path
            shown = kos_tool("status", "--json", **place).stdout + kos_tool("graph", EXAMPLE, **place).stdout
            assert not shows(shown.encode(), looked_for)
    assert not watch.found and watch.looks > 5
    assert not shows((tmp_path / "out").read_bytes(), looked_for)


def test_the_watch_finds_a_key_that_is_shown(keys):
    """Otherwise the tests above and those of the boards could not fail."""
    secret = (keys / "server.key").read_bytes()
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", secret.hex()]
    with ArgumentWatch([secret]) as watch:
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        while not watch.looks:
            watch.look()
        watch.look()
        process.communicate()
    assert any(str(process.pid) in text for text in watch.found)


def test_keys_generate_says_public_halves_only(tmp_path):
    done = kos_tool("keys.generate", tmp_path / "keys", "--json")
    assert done.returncode == 0
    for path in (tmp_path / "keys").glob("*.key"):
        assert not shows((done.stdout + done.stderr).encode(), forms(path.read_bytes()))


def test_a_signing_key_is_said_as_trusted_keys_are_written(tmp_path):
    done = kos_tool("keys.generate", tmp_path, "--signing", "release")
    assert (tmp_path / "release.pub").read_bytes().hex() in done.stdout
