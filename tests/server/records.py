"""A device's relay in a process of its own, a wire that may lose what the server says, a foreign reader."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from kos.abi import nkey
from kos.services.admin.identity import from_seed
from tests.server.running import wait_for

SEED = b"a device that keeps its records."
RELAY = """
import sys
from pathlib import Path
from kos.services.admin.identity import from_seed
from kos.services.mqtt_relay.config import RelayConfig
from kos.services.mqtt_relay.relay import Relay
from kos.services.mqtt_relay.spool import Spool
from kos.services.mqtt_relay.upstream import Upstream

identity, spool = from_seed(bytes.fromhex(sys.argv[1])), Spool(Path(sys.argv[2]), 1 << 20)
upstream = Upstream(identity.public_key, identity.sign, spool)
Relay(RelayConfig("127.0.0.1", int(sys.argv[3])), spool, upstream, print).run()
"""
DEVICE = nkey.device_id(from_seed(SEED).public_key)


@contextlib.contextmanager
def relaying(folder: Path, port: int) -> Iterator[None]:
    """A relay that sends what the spool holds, until its power is cut."""
    command = [sys.executable, "-c", RELAY, SEED.hex(), str(folder), str(port)]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.kill()
        process.wait()


class LossyWire:
    """Carries connections to the bus; after some acknowledgements all that the bus says is lost.

    Attributes:
        left: acknowledgements that still pass; None for all.
        lost: acknowledgements that did not.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.left: int | None = None
        self.lost = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                try:
                    outer = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    inner.close()
                    continue
                self._threads += [
                    threading.Thread(target=self._pump, args=[inner, outer, False]),
                    threading.Thread(target=self._pump, args=[outer, inner, True]),
                ]
                for thread in self._threads[-2:]:
                    thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, lossy: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if not (lossy and self._loses(data)):
                    sink.sendall(data)
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)  # the other thread closes its own end then
        source.close()

    def _loses(self, data: bytes) -> bool:
        if self.left is None:
            return False
        count = data.count(b".answer.mqtt.")
        if self.left <= 0:
            self.lost += count
            return True
        self.left -= count
        return False

    def close(self) -> None:
        """Once both ends of each connection are gone."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


class Mosquitto:
    """mosquitto's client, which others wrote, reading everything that it may, from where it is started."""

    def __init__(self, port: int, topic: str, password: str = "", qos: int = 0) -> None:
        command = ["stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", str(port), "-V", "311"]
        command += ["-u", "reader", "-P", password, "-q", str(qos), "-t", topic, "-F", "message %t %p"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._text = b""

    def lines(self) -> list[str]:
        """All that it has said so far."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while selector.select(0):
                if not (part := os.read(self._process.stdout.fileno(), 1 << 16)):
                    break
                self._text += part
        return self._text.decode().splitlines()

    def wait_until_it_listens(self) -> None:
        wait_for(lambda: any("Subscribed" in line for line in self.lines()), "the reader listens")

    def messages(self) -> list[tuple[str, str]]:
        """Topic and payload of each message."""
        found = [line.split(" ", 2) for line in self.lines() if line.startswith("message ")]
        return [(topic, payload) for _, topic, payload in found]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
