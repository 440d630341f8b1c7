"""A system of this machine, beside which we run: it is observed and not upgraded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.session import Desired, Update


class HostEngine:
    """The system in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def running(self) -> str | None:
        path = self.directory / "manifest.json"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None

    def apply(self, desired: Desired, tell: Callable[[Update], None]) -> Update:
        raise KosError("this system cannot be upgraded while it runs", hint="start it anew with kos-tool run")
