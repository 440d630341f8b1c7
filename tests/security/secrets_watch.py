"""Looks for secrets where they must never be: argument lists and environments of processes, logs, files."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType


def forms(secret: bytes) -> list[bytes]:
    """The ways in which a program would write a key."""
    encoded = base64.b64encode(secret).rstrip(b"=")
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), encoded]


class ArgumentWatch:
    """While it is entered, looks at every process over and over; `found` says who showed a secret."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._forms = [form for secret in secrets for form in forms(secret)]
        self.found: list[str] = []
        self.looks = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> ArgumentWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def look(self) -> None:
        """Look once."""
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    data = (process / name).read_bytes()
                except OSError:
                    continue  # it ended, or is somebody else's
                if shows(data, self._forms):
                    self.found.append(f"{name} of process {process.name}")
        self.looks += 1

    def _run(self) -> None:
        while not self._end.wait(0.05):
            self.look()


def shows(data: bytes, looked_for: list[bytes]) -> bool:
    return any(form in data for form in looked_for)
