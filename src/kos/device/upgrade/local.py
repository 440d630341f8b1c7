"""Upgrades of a system that runs on this machine: the device's own engine on its run directory.

A run on the host platform has no generations of its own; the first upgrade makes what runs its generation 1.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from kos.abi.errors import KosError
from kos.device.store.generations import GOOD, Generation
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
    if not store.generations():
        release = codec.load(document, where=_MANIFEST).release
        store.put_generation(Generation(1, store.add_manifest(document, {}), release, state=GOOD))
        store.move_current(1)
    return Engine(Device(directory, store, None, directory / "keys", None), store.current())


def connect(directory: Path) -> UpgradeClient:
    """A client of whoever upgrades the system in a run directory: the device behind its socket, else an
    engine here.
    """
    path = directory / SOCKET_NAME
    if path.exists():
        return UpgradeClient(path)
    engine = adopt(directory)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, theirs.makefile("rb") as reader, theirs.makefile("wb") as writer:
            Session(engine, reader, writer).run()

    threading.Thread(target=serve, name="upgrade", daemon=True).start()
    return UpgradeClient(ours)
