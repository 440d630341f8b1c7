"""The supervisor's control socket of a simulated device, carried to the machine that simulates it.

A virtio-serial port takes one client at a time. What it says goes to a control connection of its own, which
ends when the client leaves. Only a simulator has such a port; a board has none.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from pathlib import Path

from kos.device.control.address import short_address
from kos.device.control.client import SOCKET_NAME

PORT_NAME = "kos.control"
_PIECE = 64 << 10  # bytes
_RETRY_SECONDS = 0.2  # while the supervisor does not listen yet, or any more


def serve(device: Path, directory: Path) -> None:
    """Carry bytes between a port and the control socket in the supervisor's directory, for ever.

    The port stays open: closing it would throw away what the next client has sent already.
    """
    port = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    while True:
        wait_for_client(port)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as control:
            with short_address(directory / SOCKET_NAME) as address:
                control.connect(address)
            carry(port, control)
        time.sleep(_RETRY_SECONDS)


def wait_for_client(descriptor: int) -> None:
    """Until the other side has the port open: before that a read says "end"."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while any(event & select.POLLHUP for _, event in poll.poll()):
        time.sleep(_RETRY_SECONDS)  # the driver has no event for "somebody came"


def carry(port: int, control: socket.socket) -> None:
    """Carry bytes both ways until one side has gone."""
    poll = select.poll()
    poll.register(port, select.POLLIN)
    poll.register(control, select.POLLIN)
    while True:
        for descriptor, _event in poll.poll():
            if descriptor == port:
                data = os.read(port, _PIECE)
                control.sendall(data)
            else:
                data = control.recv(_PIECE)
                left = data
                while left:
                    left = left[os.write(port, left) :]
            if not data:
                return
