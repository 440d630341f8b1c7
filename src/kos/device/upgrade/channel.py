"""A connection to the engine that upgrades a system, for the supervisor to hand to an app."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from kos.device.control.address import short_address
from kos.device.upgrade.client import SOCKET_NAME


def open_engine(directory: Path, *, owns_machine: bool) -> socket.socket:
    """Connected to the engine: a device has one that runs all the time, a run on this machine gets its own.

    Raises:
        OSError: it does not answer, or cannot be started.
    """
    if owns_machine or (directory / SOCKET_NAME).exists():
        connection = socket.socket(socket.AF_UNIX)
        try:
            with short_address(directory / SOCKET_NAME) as address:
                connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection
    ours, theirs = socket.socketpair()
    with theirs:
        # It ends with its client; whoever runs the supervisor buries it.
        command = [sys.executable, "-m", "kos.device.upgrade.local", str(directory), str(theirs.fileno())]
        subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
        )
    return ours
