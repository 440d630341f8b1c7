"""Upgrades of a system that runs on this machine: the device's own engine on its run directory.

A run on the host platform has no generations of its own; what runs becomes one when it is first looked at.
"""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

from kos.abi.digest import sha256_hex
from kos.abi.errors import KosError
from kos.device.store.generations import FAILED, GOOD, Generation
from kos.device.store.store import Store
from kos.device.upgrade.client import SOCKET_NAME, UpgradeClient
from kos.device.upgrade.engine import Device, Engine
from kos.device.upgrade.session import Session
from kos.manifest import codec

_MANIFEST = "manifest.json"


def adopt(directory: Path) -> Engine:
    """An engine for the system in a run directory.

    Raises:
        KosError: there is no system of this machine in it.
    """
    try:
        document = (directory / _MANIFEST).read_bytes()
    except OSError as error:
        raise KosError(
            f"no system of this machine is there: {error.strerror}", where=str(directory)
        ) from error
    store = Store(directory / "store")
    store.recover()
    return Engine(Device(directory, store, None, directory / "keys", None), _running(store, document))


def _running(store: Store, document: bytes) -> int:
    """The generation that the supervisor runs, which without persistent boot is not the current one."""
    known = store.generations()
    sha256 = sha256_hex(document)
    same = [number for number, one in known.items() if one.manifest == sha256 and one.state != FAILED]
    if same:
        return max(same)
    number = max(known, default=0) + 1
    release = codec.load(document, where=_MANIFEST).release
    store.put_generation(Generation(number, store.add_manifest(document, {}), release, state=GOOD))
    if not known:
        store.move_current(number)
    return number


def connect(directory: Path) -> UpgradeClient:
    """A client of whoever upgrades the system in a run directory: the device behind its socket, else an
    engine here.
    """
    path = directory / SOCKET_NAME
    if path.exists():
        return UpgradeClient(path)
    return UpgradeClient(served(directory))


def served(directory: Path) -> socket.socket:
    """A connection to an engine in a thread of this process."""
    engine = adopt(directory)
    ours, theirs = socket.socketpair()
    threading.Thread(target=serve, args=(engine, theirs), name="upgrade", daemon=True).start()
    return ours


def serve(engine: Engine, connection: socket.socket) -> None:
    """Serve one client until it is gone."""
    with connection, connection.makefile("rb") as reader, connection.makefile("wb") as writer:
        Session(engine, reader, writer).run()


if __name__ == "__main__":  # for the supervisor of a run on this machine: directory, descriptor
    serve(adopt(Path(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
