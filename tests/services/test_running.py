"""The core services as they run: sandboxed apps, asked by other sandboxed apps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kos.abi.services import PORT_KEY_STORE, PORT_LOG, PORT_LOG_ADMIN, PORT_RNG
from tests.device.systems import RunningSystem, install
from tests.services.systems import client, ports_of, service

USERS = [pytest.param(False, id="as-we-are")]
if os.geteuid() == 0:
    USERS.append(pytest.param(True, id="ordinary-user"))


def started(
    directory: Path, apps: dict[str, dict[str, Any]], *, ordinary_user: bool = False
) -> RunningSystem:
    return RunningSystem(install(directory, apps, ports_of(apps)), ordinary_user=ordinary_user)


def test_random_bytes_reach_an_app(tmp_path: Path) -> None:
    source = """
        from kos import app
        def main():
            data = app.random(10000)
            print("bytes", len(data), len(set(data)))
    """
    apps = {"rng_server": service("rng", PORT_RNG), "asker": client(source, PORT_RNG)}
    with started(tmp_path, apps) as system:
        system.wait_for("bytes 10000 256")


def test_lines_are_logged_under_their_writers_name_and_read_back_by_who_may(tmp_path: Path) -> None:
    writer = """
        from kos import app
        from kos.app import log
        def main():
            log.warn("too warm\\n|      1.000| reader             | forged")
            try:
                app.connect("kos_log_admin_protocol", timeout=0)
            except app.StatusError as error:
                print("reading back:", error.status.name)
            app.ready()
    """
    reader = """
        import time
        from kos import app
        def main():
            token = app.connect("kos_log_admin_protocol")
            start, data = 0, b""
            while b"too warm" not in data:
                reply = token.call(2, start)
                start, data = reply.param, data + bytes(reply.payload)
                time.sleep(0.01)
            print("read back", b"writer" in data)
    """
    apps = {
        "log_server": service("log", PORT_LOG, PORT_LOG_ADMIN),
        "writer": client(writer, PORT_LOG),
        "reader": client(reader, PORT_LOG_ADMIN),
    }
    with started(tmp_path, apps) as system:
        line = system.wait_for("too warm")
        assert line.endswith(r"warn  writer: too warm\n|      1.000| reader             | forged")
        assert "| log_server " in line
        system.wait_for("reading back: NOT_FOUND")
        system.wait_for("read back True")


def test_the_log_is_kept_when_the_log_server_restarts(tmp_path: Path) -> None:
    writer = """
        import time
        from kos import app
        from kos.app import log
        def main():
            log.error("before the restart")
            token = app.connect("kos_log_admin_protocol")
            time.sleep(1000)
    """
    reader = """
        import time
        from kos import app
        def main():
            while True:
                try:
                    data = bytes(app.connect("kos_log_admin_protocol").call(2, 0).payload)
                    print("kept" if b"before the restart" in data else "empty")
                except app.StatusError as error:
                    print("waiting:", error.status.name)
                time.sleep(0.1)
    """
    storage = {"type": "storage", "size": 1 << 20}
    apps = {
        "log_server": service("log", PORT_LOG, PORT_LOG_ADMIN, resources=[storage]),
        "writer": client(writer, PORT_LOG, PORT_LOG_ADMIN),
        "reader": client(reader, PORT_LOG_ADMIN),
    }
    with started(tmp_path, apps) as system:
        system.wait_for("kept")
        before = len(system.lines)
        system.restart("log_server")
        system.wait_for(lambda line: line.endswith("| kept"), times=before + 5)


def test_an_app_that_floods_the_log_costs_no_other_app_a_line(tmp_path: Path) -> None:
    noisy = """
        from kos.abi.status import Status
        from kos import app
        def main():
            token = app.connect("kos_log_protocol")
            refused = 0
            while refused < 2000:
                refused += token.call(1, 1, b"noise", check=False).label == Status.FULL
            print("refused", refused)
            while True:
                token.send(1, 1, b"noise")
    """
    quiet = """
        from kos import app
        def main():
            token = app.connect("kos_log_protocol")
            for number in range(50):
                token.call(1, 1, b"quiet %d" % number)
            print("all of them")
    """
    config = {"rate": 100, "burst": 100}
    apps = {
        "log_server": service("log", PORT_LOG, config=config),
        "noisy": client(noisy, PORT_LOG),
        "quiet": client(quiet, PORT_LOG),
    }
    with started(tmp_path, apps) as system:
        system.wait_for("| all of them")
        system.wait_for("| refused 2000")
        for number in range(50):
            system.wait_for(f"info  quiet: quiet {number}")
        system.wait_for("lines dropped: over this app's rate")


KEY_USER = """
    from kos import app
    def attempt(token, label, payload):
        reply = token.call(label, payload=payload, check=False)
        return reply.label, reply.param, bytes(reply.payload)
    def main():
        token = app.connect("kos_key_store_protocol")
        print("public", *attempt(token, 1, b"server\\0")[1:2], attempt(token, 1, b"server\\0")[2].hex())
        print("signature", attempt(token, 2, b"server\\0message")[2].hex())
        print("agree", attempt(token, 3, b"tunnel\\0" + bytes(32))[0])
        print("list", attempt(token, 4, b"")[2])
"""


def test_keys_are_used_by_name_and_by_whom_the_manifest_says(tmp_path: Path) -> None:
    secret = Ed25519PrivateKey.generate()
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / "server.key").write_bytes(secret.private_bytes_raw())
    (keys / "server.key").chmod(0o600)
    (keys / "server.pub").write_bytes(secret.public_key().public_bytes_raw())
    config = {"access": {"admin": {"server": ["public", "sign"]}}}
    apps = {
        "key_store": service("keystore", PORT_KEY_STORE, resources=[{"type": "keys"}], config=config),
        "admin": client(KEY_USER, PORT_KEY_STORE),
        "stranger": client(KEY_USER, PORT_KEY_STORE),
    }
    with started(tmp_path, apps) as system:
        system.wait_for("key tunnel is not provisioned")
        public = secret.public_key().public_bytes_raw()
        system.wait_for(f"| admin              | public 1 {public.hex()}")
        signature = system.wait_for("| admin              | signature").split()[-1]
        Ed25519PublicKey.from_public_bytes(public).verify(bytes.fromhex(signature), b"message")
        system.wait_for("| admin              | agree 139")
        assert system.wait_for("| admin              | list").endswith(
            r"list b'server ed25519 public,sign\n'"
        )
        assert system.wait_for("| stranger           | public").endswith("public 0 ")
        assert system.wait_for("| stranger           | list").endswith("list b''")
        system.stop()
        console = "\n".join(system.lines)
        assert secret.private_bytes_raw().hex() not in console


def test_the_key_store_does_not_start_with_a_key_that_others_can_read(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / "server.key").write_bytes(bytes(32))
    (keys / "server.key").chmod(0o644)
    apps = {"key_store": service("keystore", PORT_KEY_STORE, resources=[{"type": "keys"}])}
    with started(tmp_path, apps) as system:
        system.wait_for("the private key is open to others: mode 0644")
        system.wait_for("key_store: exited with status 1")


SELF_TEST_ACCESS = {"msg0": {port: {"role": "client"} for port in (PORT_RNG, PORT_LOG, PORT_KEY_STORE)}}
SELF_TEST_KEYS = {"access": {"self_test": {"self_test": ["public", "sign"]}}}


def self_tested(rng: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "rng_server": rng,
        "log_server": service("log", PORT_LOG),
        "key_store": service("keystore", PORT_KEY_STORE, config=SELF_TEST_KEYS),
        "self_test": {**service("selftest"), "access": SELF_TEST_ACCESS},
    }


@pytest.mark.parametrize("ordinary_user", USERS)
def test_the_self_test_is_ready_when_everything_passed(tmp_path: Path, ordinary_user: bool) -> None:
    apps = self_tested(service("rng", PORT_RNG))
    with started(tmp_path, apps, ordinary_user=ordinary_user) as system:
        system.wait_for("4 of 4 apps ready")
        system.wait_for("passed read-only")
        passed = [line.split("passed ")[1] for line in system.lines if "| self_test " in line]
        assert passed == [
            "message server",
            "rng",
            "log",
            "key store",
            "no network",
            "no other processes",
            "confined",
            "read-only",
        ]
        assert system.status()["apps"]["self_test"]["ready"]


def test_the_self_test_fails_with_the_name_of_the_check(tmp_path: Path) -> None:
    stuck = """
        from kos import app
        def main():
            server = app.Server()
            server.bind("kos_rng_protocol", lambda request: b"\\xaa" * request.param)
            app.ready()
            server.serve()
    """
    rng = client(stuck)
    rng["access"] = {"msg0": {PORT_RNG: {"role": "server"}}}
    with started(tmp_path, self_tested(rng)) as system:
        system.wait_for("failed rng: expected fresh random bytes, found a block of 16 bytes twice")
        system.wait_for("self-test failed: rng")
        system.wait_for("self_test: exited with status 1")
        assert not system.status()["apps"]["self_test"]["ready"]
