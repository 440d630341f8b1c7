"""A PostgreSQL of the tests' own: a fresh cluster on a socket in a folder, ended with the context."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kos.server.core.bus.process import free_port

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


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """The URL of an empty database."""
    initdb, server = find("initdb"), find("postgres")
    assert initdb and server, "needs postgresql: apt-get install postgresql"
    user = ordinary_user()
    folder = Path(tempfile.mkdtemp(prefix="kos-pg-"))
    try:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        data, port = folder / "data", free_port("127.0.0.1")
        command = [initdb, "-D", str(data), "-U", "kos", "-A", "trust", "-N", "--no-instructions"]
        subprocess.run(
            command, check=True, user=user, cwd="/", capture_output=True, env={"LC_ALL": "C.UTF-8"}
        )
        options = ["-D", str(data), "-p", str(port), "-k", str(folder), "-c", "listen_addresses="]
        # `fsync=off`: the tests never cut the power, and the machine is shared.
        options += ["-c", "fsync=off", "-c", "max_connections=60"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([server, *options], user=user, cwd="/", stdout=log, stderr=log)
        try:
            _wait(folder, port, process)
            yield f"postgresql://kos@/postgres?host={folder}&port={port}"
        finally:
            process.send_signal(signal.SIGINT)  # does not wait for clients that are still connected
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    ready = find("pg_isready")
    assert ready
    for _ in range(300):
        assert process.poll() is None, (folder / "log").read_text()
        if subprocess.run([ready, "-q", "-h", str(folder), "-p", str(port)], check=False).returncode == 0:
            return
    raise AssertionError("PostgreSQL does not start: " + (folder / "log").read_text())
