"""Carries out the desired state, in a thread of its own: fetches what is missing, hands it to the engine.

A version that was carried out, or that failed, is not tried again: the server raises the version to try anew.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Protocol

from kos.abi.errors import KosError
from kos.abi.session import UPDATE_FAILED, UPDATE_HEALTHY, Desired, Update


class Engine(Protocol):
    """Whoever can bring the device to a release: the device's upgrade engine, or a simulated one."""

    def facts(self) -> tuple[str | None, int]:
        """SHA-256 of the manifest that runs, and the number of its generation."""

    def apply(self, desired: Desired, tell: Callable[[Update], None]) -> Update:
        """Bring the device to `desired`; tells each step, answers with the end."""


class Updates:
    """One update at a time; a newer wish replaces one that has not begun."""

    def __init__(self, engine: Engine, done_version: int = 0) -> None:
        self._engine = engine
        self.facts = engine.facts()
        self._done = done_version
        self._wanted: Desired | None = None
        self._newest: Update | None = None
        self._lock = threading.Condition()
        self.wake, self._write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self._write, False)
        self._thread = threading.Thread(target=self._run, name="updates", daemon=True)
        self._thread.start()

    def want(self, desired: Desired) -> None:
        """What the server wants now."""
        with self._lock:
            if desired.version <= self._done:
                return
            self._wanted = desired
            self._lock.notify()

    def take(self) -> Update | None:
        """The newest state of the update, once `wake` is readable."""
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            return None
        with self._lock:
            newest, self._newest = self._newest, None
        return newest

    def _tell(self, update: Update) -> None:
        with self._lock:
            self._newest = update
            self.facts = self._engine.facts()
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def _run(self) -> None:
        while True:
            with self._lock:
                while self._wanted is None:
                    self._lock.wait()
                desired, self._wanted = self._wanted, None
            if desired.version <= self._done:
                continue
            self._done = desired.version
            self._tell(self._carry_out(desired))

    def _carry_out(self, desired: Desired) -> Update:
        if desired.release is None or desired.release == self._engine.facts()[0]:
            return Update(desired.version, UPDATE_HEALTHY)
        try:
            return self._engine.apply(desired, self._tell)
        except KosError as error:
            return Update(desired.version, UPDATE_FAILED, 0.0, str(error)[:4000])
        except OSError as error:
            return Update(desired.version, UPDATE_FAILED, 0.0, f"could not be stored: {error}")
