"""The way from the updates' thread to the upgrade engine: a connection that the supervisor hands over.

The loop owns the supervisor's connection; whoever wants one to the engine waits here for it.
"""

from __future__ import annotations

import os
import queue
import socket
from typing import Any

from kos.abi.errors import KosError
from kos.services.admin.supervisor import SupervisorLink

WAIT = 60.0  # seconds that the supervisor may take


class Door:
    """Asks through a supervisor's link that another thread reads."""

    def __init__(self) -> None:
        self.wake, self._write = os.pipe()
        self._given: queue.SimpleQueue[socket.socket | KosError] = queue.SimpleQueue()

    def connect(self) -> socket.socket:
        """In the updates' thread: a connection to the engine. Raises KosError when there is no way to it."""
        os.write(self._write, b"\0")
        try:
            given = self._given.get(timeout=WAIT)
        except queue.Empty:
            raise KosError("the supervisor gives no way to the upgrade engine") from None
        if isinstance(given, KosError):
            raise given
        return given

    def serve(self, supervisor: SupervisorLink) -> None:
        """In the loop's thread, once `wake` is readable."""

        def answer(found: dict[str, Any]) -> None:
            descriptor = supervisor.take_descriptor()
            if found["ok"] and descriptor is not None:
                self._given.put(socket.socket(fileno=descriptor))
                return
            error = found.get("error") or {}
            hint = error.get("hint") or "resources=[Supervisor(upgrade=True)] gives the admin app the way"
            self._given.put(KosError(error.get("message") or "no connection came", hint=hint))

        for _ in os.read(self.wake, 64):
            supervisor.request("upgrade", answer)
