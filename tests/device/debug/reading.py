"""A reader of shells for tests: statements in, what they print out."""

from __future__ import annotations

import json
from typing import Any

from kos.abi.errors import KosError
from kos.device.control import ControlClient
from kos.device.control.stream import StreamReader
from tests.device.systems import AFTER_FAILURE, DEADLINE, RunningSystem


class ShellReader:
    """One session with an app."""

    def __init__(self, system: RunningSystem, app: str, kind: str = "shell", who: str = "a test") -> None:
        self.client = ControlClient(system.directory)
        self.stream: StreamReader = self.client.stream(kind, app, who)
        self.client._socket.settimeout(min(DEADLINE, system.patience))
        self._system = system
        self._rest = b""

    def __enter__(self) -> ShellReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def tell(self, **wish: Any) -> None:
        self.stream.send(json.dumps(wish).encode() + b"\n")

    def next(self) -> dict[str, Any]:
        """The next object; {} at the end."""
        while b"\n" not in self._rest:
            try:
                data = self.stream.receive()
            except (TimeoutError, KosError):
                self._system.patience = AFTER_FAILURE  # of the tests that share it
                raise
            if not data:
                return {}
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def until_prompt(self) -> str:
        """What is printed until the shell waits for a line again; its prompt is in `prompt`."""
        printed = ""
        while True:
            said = self.next()
            assert said, f"closed: {self.stream.reason}; printed {printed!r}"
            printed += said.get("out", "")
            if "prompt" in said:
                self.prompt = said["prompt"]
                return printed

    def run(self, *lines: str) -> str:
        """Run lines; → what they print."""
        printed = ""
        for line in lines:
            self.tell(run=line)
            printed += self.until_prompt()
        return printed
