"""Upgrades of a system that runs on this machine: the device's own engine on its run directory.

A run on the host platform has no generations of its own; what runs becomes one when it is first looked at.
Each client has an engine of its own there, in its own process; a lock lets one of them at a time change
things.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from kos.abi.digest import sha256_hex
from kos.abi.errors import KosError
from kos.device.store.generations import FAILED, GOOD, Generation
from kos.device.store.store import Store
from kos.device.upgrade.client import SOCKET_NAME, UpgradeClient
from kos.device.upgrade.engine import Device, Engine, Tell
from kos.device.upgrade.installer import Overlay
from kos.device.upgrade.session import Session
from kos.manifest import codec

_MANIFEST = "manifest.json"
_LOCK = "upgrade.lock"


class Lock:
    """Held by whoever changes the store of a run, until it is let go or its process ends."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """Whether it is ours now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def let_go(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._descriptor)


class LocalEngine(Engine):
    """An engine beside which there may be others."""

    def __init__(self, directory: Path, store: Store) -> None:
        super().__init__(Device(directory, store, None, directory / "keys", None), 0)
        self._store = store
        self._lock = Lock(directory)
        if self._lock.take():
            store.recover()  # what somebody else is in the middle of would look half done
            self._look()
            self._lock.let_go()
        else:
            self._look()

    def _look(self) -> None:
        self._running = _running(self._store, (self._device.directory / _MANIFEST).read_bytes())

    def offer(
        self, document: bytes, signatures: Mapping[str, bytes], over: Overlay | None = None, ticket: str = ""
    ) -> dict[str, int]:
        """As `Engine.offer`; from here to the end of `commit` nobody else may change anything."""
        self._begin()
        try:
            return super().offer(document, signatures, over, ticket)
        except BaseException:
            self._lock.let_go()
            raise

    def commit(self, tell: Tell) -> None:
        """As `Engine.commit`."""
        try:
            super().commit(tell)
        finally:
            self._lock.let_go()

    def collect(self) -> list[str]:
        """As `Engine.collect`."""
        self._begin()
        try:
            return super().collect()
        finally:
            self._lock.let_go()

    def _begin(self) -> None:
        if not self._lock.take():
            raise KosError("another upgrade goes on here", hint="try again when it has ended")
        self._look()

    def close(self) -> None:
        """Let go of everything."""
        self._lock.close()


def adopt(directory: Path) -> LocalEngine:
    """An engine for the system in a run directory.

    Raises:
        KosError: there is no system of this machine in it.
    """
    try:
        (directory / _MANIFEST).read_bytes()
    except OSError as error:
        raise KosError(
            f"no system of this machine is there: {error.strerror}", where=str(directory)
        ) from error
    return LocalEngine(directory, Store(directory / "store"))


def _running(store: Store, document: bytes) -> int:
    """The generation that the supervisor runs, which without persistent boot is not the current one."""
    known = store.generations()
    sha256 = sha256_hex(document)
    same = [number for number, one in known.items() if one.manifest == sha256 and one.state != FAILED]
    if same:
        return max(same)
    number = store.next_number()
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


def serve(engine: LocalEngine, connection: socket.socket) -> None:
    """Serve one client until it is gone."""
    with connection, connection.makefile("rb") as reader, connection.makefile("wb") as writer:
        try:
            Session(engine, reader, writer).run()
        finally:
            engine.close()


if __name__ == "__main__":  # for the supervisor of a run on this machine: directory, descriptor
    serve(adopt(Path(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
