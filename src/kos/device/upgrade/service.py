"""The process that serves upgrades of a running system: one engine, one client at a time.

Its channels are a Unix socket in the supervisor's directory, which the supervisor hands to the admin app, and
on a simulated device a virtio-serial port too. There it carries the supervisor's control socket out as well.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.device.control import port as control_port
from kos.device.control.address import short_address
from kos.device.control.port import wait_for_client
from kos.device.upgrade.client import SOCKET_NAME
from kos.device.upgrade.engine import Engine
from kos.device.upgrade.session import Session

PORT_NAME = "kos.upgrade"
_PORTS = Path("/sys/class/virtio-ports")


def find_port(name: str = PORT_NAME) -> Path | None:
    """The device of the virtio-serial port called `name`, or None."""
    if not _PORTS.is_dir():
        return None
    for port in sorted(_PORTS.iterdir()):
        if (port / "name").exists() and (port / "name").read_text().strip() == name:
            return Path("/dev", port.name)
    return None


def serve_port(engine: Engine, device: Path, lock: threading.Lock) -> None:
    """Serve clients of a virtio-serial port, one after the other, for ever.

    The port stays open: closing it would throw away what the next client has sent already.
    """
    with os.fdopen(os.open(device, os.O_RDWR | os.O_CLOEXEC), "r+b", buffering=0) as port:
        while True:
            wait_for_client(port.fileno())
            reader = _PortReader(port.fileno())
            with lock, contextlib.suppress(OSError):
                Session(engine, reader, port).run()


class _PortReader:
    """Lines and exact counts of bytes from a port."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._data = bytearray()

    def readline(self, limit: int) -> bytes:
        while (end := self._data.find(b"\n")) < 0 and len(self._data) < limit:
            if not self._more():
                break
        return self._take(end + 1 if end >= 0 else min(len(self._data), limit))

    def read(self, size: int) -> bytes:
        if not self._data:
            self._more()
        return self._take(min(size, len(self._data)))

    def _more(self) -> bool:
        chunk = os.read(self._descriptor, 64 << 10)
        self._data += chunk
        return bool(chunk)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._data[:count])
        del self._data[:count]
        return taken


def serve_socket(engine: Engine, directory: Path, lock: threading.Lock) -> None:
    """Serve clients of the run directory's socket, one after the other, for ever."""
    path = directory / SOCKET_NAME
    with socket.socket(socket.AF_UNIX) as listener:
        path.unlink(missing_ok=True)
        with short_address(path) as address:
            previous = os.umask(0o177)
            try:
                listener.bind(address)
            finally:
                os.umask(previous)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as reader, connection.makefile("wb") as writer:
                with lock, contextlib.suppress(OSError):
                    Session(engine, reader, writer).run()


def run(engine: Engine, say: Callable[[dict[str, Any]], None], directory: Path) -> None:
    """Watch the start, then serve whatever channels there are."""
    lock = threading.Lock()
    threads = [threading.Thread(target=serve_socket, args=(engine, directory, lock), daemon=True)]
    if port := find_port():
        threads.append(threading.Thread(target=serve_port, args=(engine, port, lock), daemon=True))
    if control := find_port(control_port.PORT_NAME):
        threads.append(threading.Thread(target=control_port.serve, args=(control, directory), daemon=True))
    with lock:
        # Clients may connect while the start is judged, and are answered after it.
        for thread in threads:
            thread.start()
        try:
            engine.watch_start(say)
        except (KosError, OSError) as error:
            # A device whose storage is full or broken serves on: an upgrade is how it gets out of that.
            say({"event": "failed", "reason": str(error)})
    for thread in threads:
        thread.join()
