"""Carries out the desired state, in a thread of its own: fetches what is missing, hands it to the engine.

A version that was carried out, or that failed, is not tried again, not even after a restart of the device:
the engine remembers what became of it. The server raises the version to try anew.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kos.abi.errors import KosError
from kos.abi.session import UPDATE_FAILED, UPDATE_HEALTHY, Desired, Update

FACTS_AGAIN = 5.0  # seconds before an engine that does not answer is asked again


@dataclass(frozen=True)
class Facts:
    """What runs: the manifest, the release and overlay that it was made of, the generation."""

    manifest: str | None = None
    release: str | None = None
    overlay: str | None = None
    generation: int = 0


class Engine(Protocol):
    """Whoever can bring the device to a release: the device's upgrade engine, or one of the tests."""

    def facts(self) -> Facts:
        """What runs now."""

    def outcome(self, desired: Desired) -> Update | None:
        """What became of `desired` when it was carried out before; None when it never was."""

    def apply(self, desired: Desired, tell: Callable[[Update], None]) -> Update:
        """Bring the device to `desired`; tells each step, answers with the end."""


class Updates:
    """One update at a time; a newer wish replaces one that has not begun."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.facts = Facts()
        self._done = 0
        self._wanted: Desired | None = None
        self._newest: Update | None = None
        self._lock = threading.Condition()
        self.wake, self._write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self._write, False)

    def start(self) -> None:
        """Begin to work, once the loop that serves the engine's door runs."""
        threading.Thread(target=self._run, name="updates", daemon=True).start()

    def want(self, desired: Desired) -> None:
        """What the server wants now."""
        with self._lock:
            if desired.version <= self._done:
                return
            self._wanted = desired
            self._lock.notify()

    def take(self) -> Update | None:
        """The newest state of the update, if there is one, once `wake` is readable."""
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            return None
        with self._lock:
            newest, self._newest = self._newest, None
        return newest

    def _learn(self) -> bool:
        try:
            facts = self._engine.facts()
        except (KosError, OSError):
            return False
        with self._lock:
            self.facts = facts
        return True

    def _tell(self, update: Update) -> None:
        with self._lock:
            self._newest = update
        self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def _run(self) -> None:
        if self._learn():
            self._wake()
        while True:
            with self._lock:
                while self._wanted is None:
                    self._lock.wait(None if self.facts.manifest else FACTS_AGAIN)
                    if self._wanted is None and not self.facts.manifest:
                        break
                desired, self._wanted = self._wanted, None
            if desired is None:
                if self._learn():
                    self._wake()
                continue
            if desired.version <= self._done:
                continue
            update = self._carry_out(desired)
            self._done = desired.version
            self._learn()  # only now: while it is under way the engine serves that connection alone
            self._tell(update)

    def _carry_out(self, desired: Desired) -> Update:
        if desired.release is None:
            return Update(desired.version, UPDATE_HEALTHY)
        try:
            before = self._engine.outcome(desired)
            return before if before is not None else self._engine.apply(desired, self._tell)
        except KosError as error:
            return Update(desired.version, UPDATE_FAILED, 0.0, str(error)[:4000])
        except OSError as error:
            return Update(desired.version, UPDATE_FAILED, 0.0, f"could not be stored: {error}")
