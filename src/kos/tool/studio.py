"""The developer's Studio on this machine: a system that `run` starts shows up there while it runs.

Where no Studio listens nothing happens. The device's admin agent runs beside the system, with the developer's
own rights; a system that holds the admin app brings its own and is left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kos.abi.session import BUS_PORT

LOOK_SECONDS = 0.3
STOP_SECONDS = 5.0
OFF = "KOS_NO_STUDIO"  # set: never show up there


def address() -> tuple[str, int]:
    """Where this machine's Studio takes devices: as `server.start` is told its own port."""
    port = os.environ.get("KOS_SERVER_BUS_PORT", "")
    return "127.0.0.1", int(port) if port.isdigit() else BUS_PORT


def listens() -> bool:
    """Whether a Studio's bus answers on this machine."""
    if os.environ.get(OFF):
        return False
    try:
        with socket.create_connection(address(), LOOK_SECONDS) as connection:
            connection.settimeout(LOOK_SECONDS)
            return connection.recv(5) == b"INFO "
    except OSError:
        return False


def device_keys(source: Path) -> Path:
    """Keys for the device that a project is on this machine: the same each time that it runs."""
    from kos.keys import pairs

    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = base / "kos" / "devices" / hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:16]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        pairs.generate(folder, sorted(pairs.DEVICE_KEYS.items()))
    return folder


@contextlib.contextmanager
def attached(directory: Path, name: str) -> Iterator[bool]:
    """Manage the system that runs in `directory` from Studio while the context is open; False without one."""
    if not listens():
        yield False
        return
    command = [sys.executable, "-m", "kos.services.admin.beside", "--run", str(directory)]
    command += ["--key", str(directory / "keys" / "server.key"), "--name", name]
    command += ["--server", "{}:{}".format(*address())]
    agent = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield True
    finally:
        agent.terminate()
        try:
            agent.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()
