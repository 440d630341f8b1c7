"""The upgrade engine's protocol from the admin app's side, over a connection that the supervisor hands over.

See `kos.device.upgrade.session` for what it says. Blocking: it belongs to the thread of the updates.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from kos.abi.errors import KosError

ANSWER_MAX = 16 << 20  # bytes of one line
TIMEOUT = 300.0  # seconds: the engine answers once it has judged the start
BLOB_READ_MAX = 64 << 20  # bytes of a blob that is read back


class EngineLink:
    """One connection; close it when the work is done, others wait."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(TIMEOUT)
        self._connection = connection
        self._file = connection.makefile("rb")

    def __enter__(self) -> EngineLink:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._connection.close()

    def ask(self, operation: str, **members: Any) -> dict[str, Any]:
        """One request and its answer. Raises KosError with the engine's own words."""
        self._connection.sendall(json.dumps({"op": operation, **members}).encode() + b"\n")
        return self._answer()

    def send(self, sha256: str, size: int, chunks: Iterator[bytes]) -> None:
        """One blob of exactly `size` bytes. When `chunks` fails, close the connection."""
        self._connection.sendall(json.dumps({"op": "blob", "sha256": sha256, "size": size}).encode() + b"\n")
        for chunk in chunks:
            self._connection.sendall(chunk)
        self._answer()

    def read(self, sha256: str) -> bytes:
        """One of the engine's blobs."""
        size = self.ask("read", sha256=sha256)["size"]
        if not 0 <= size <= BLOB_READ_MAX:
            raise KosError(f"a blob of {size} bytes is not read back, at most {BLOB_READ_MAX}")
        data = self._file.read(size)
        if len(data) != size:
            raise KosError("the upgrade engine went away")
        return data

    def commit(self) -> Iterator[Mapping[str, Any]]:
        """Install what was offered: events up to the end, or to the device's restart."""
        self.ask("commit")
        while True:
            event = self._line()
            if event.get("last"):
                return
            yield event

    def _answer(self) -> dict[str, Any]:
        answer = self._line()
        if not answer.get("ok"):
            said = answer.get("error") or {}
            raise KosError(str(said.get("message", "the upgrade engine refused")), hint=said.get("hint"))
        return answer

    def _line(self) -> dict[str, Any]:
        try:
            line = self._file.readline(ANSWER_MAX)
        except OSError as error:
            raise KosError(f"the upgrade engine does not answer: {error}") from error
        if not line.endswith(b"\n"):
            raise KosError("the upgrade engine went away")
        found: dict[str, Any] = json.loads(line)
        return found
