"""A PostgreSQL of the tests' own: a fresh cluster on a socket in a folder, ended with the context."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kos.server.core.bus.process import free_port

DEADLINE = 120.0  # seconds until it answers: one that was killed looks through its log first
USERS = ("postgres", "nobody")  # PostgreSQL refuses to run as root


def find(program: str) -> str | None:
    """A program of the newest PostgreSQL that is installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda p: int(p.parts[4]))
    return str(installed[-1]) if installed else shutil.which(program)


def ordinary_user() -> str | None:
    """Who runs it: None for ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in USERS if name in known)


class Instance:
    """A running server. `url` names its empty database."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self._folder, self._user = folder, user
        self._port = free_port("127.0.0.1")
        self.url = f"postgresql://kos@/postgres?host={folder}&port={self._port}"
        command = [_program("initdb"), "-D", str(folder / "data"), "-U", "kos", "-A", "trust", "-N"]
        subprocess.run(
            [*command, "--no-instructions"],
            check=True,
            user=user,
            cwd="/",
            capture_output=True,
            env={"LC_ALL": "C.UTF-8"},
        )
        self._process = self._started()

    def kill_and_start(self) -> None:
        """Kill it whatever it does, and start it again, as a supervisor of services would."""
        self._process.kill()
        self._process.wait()
        self._process = self._started()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """It is not there inside."""
        self.stop()
        try:
            yield
        finally:
            self._process = self._started()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # does not wait for clients that are still connected
        self._process.wait(90)

    def _started(self) -> subprocess.Popen[bytes]:
        options = ["-D", str(self._folder / "data"), "-p", str(self._port), "-k", str(self._folder)]
        # `fsync=off`: the tests never cut the power, and the machine is shared.
        options += ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60"]
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            with (self._folder / "log").open("wb") as log:
                command = [_program("postgres"), *options]
                process = subprocess.Popen(command, user=self._user, cwd="/", stdout=log, stderr=log)
            while process.poll() is None and time.monotonic() < end:
                if _answers(self._folder, self._port):
                    return process
            process.kill()
            process.wait()
            if "still in use" not in (self._folder / "log").read_text():
                break  # else: children of one that was killed are still ending
        raise AssertionError("PostgreSQL does not start: " + (self._folder / "log").read_text())


@contextlib.contextmanager
def instance() -> Iterator[Instance]:
    """A server of its own."""
    user = ordinary_user()
    folder = Path(tempfile.mkdtemp(prefix="kos-pg-"))
    try:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        running = Instance(folder, user)
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """The URL of an empty database."""
    with instance() as running:
        yield running.url


def _program(name: str) -> str:
    found = find(name)
    assert found, "needs postgresql: apt-get install postgresql"
    return found


def _answers(folder: Path, port: int) -> bool:
    command = [_program("pg_isready"), "-q", "-h", str(folder), "-p", str(port)]
    return subprocess.run(command, check=False).returncode == 0
