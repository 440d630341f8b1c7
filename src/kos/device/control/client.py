"""Speak with a running system: what `kos-tool status`, `stop`, `console` and `graph` use.

Imports only the standard library and `kos.abi`, so that a command starts fast.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from kos.abi.errors import KosError
from kos.abi.hints import Any, Self
from kos.device.control.address import short_address
from kos.device.control.stream import ControlCarrier, StreamReader

SOCKET_NAME = "control.sock"
ANSWER_SECONDS = 10.0
LINE_BYTES_MAX = 16 << 20  # of one answer


class ControlClient:
    """A connection to the supervisor of the system in `directory`."""

    def __init__(self, directory: Path, timeout: float = ANSWER_SECONDS) -> None:
        path = directory / SOCKET_NAME
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        try:
            with short_address(path) as address:
                self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise KosError(
                f"no system is running there: {error.strerror or error}",
                where=str(path),
                hint="start one with kos-tool run",
            ) from error
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes whoever reads in another thread
        self._file.close()
        self._socket.close()

    def status(self) -> dict[str, Any]:
        """State of the system, its message servers and its apps."""
        return self.request("status")

    def graph(self) -> dict[str, Any]:
        """Who serves and who uses which port."""
        return self.request("graph")["graph"]

    def restart(self, app: str) -> None:
        self.request("restart", app=app)

    def stop(self, *, wait: bool = True) -> None:
        """Stop the system; with `wait`, return when all of it is gone."""
        self.request("stop")
        if wait:
            self._socket.settimeout(None)
            while self._file.readline(LINE_BYTES_MAX):
                pass

    def console(self, *, history: bool = False) -> Iterator[str]:
        """Console lines as they come, with `history` after the last ones before; ends with the system."""
        self.request("console", history=history)
        return (value["line"] for value in self._stream())

    def events(self) -> Iterator[dict[str, Any]]:
        """What happens to the system and its apps, as it happens."""
        self.request("events")
        return self._stream()

    def stream(self, kind: str, app: str, who: str) -> StreamReader:
        """Look into an app that the manifest opens; the connection serves nothing else from then on."""
        return StreamReader(ControlCarrier(self, kind, app, who))

    def tell(self, operation: str, **members: Any) -> None:
        """An order that has no answer. Raises KosError when the supervisor is gone."""
        try:
            self._socket.sendall(json.dumps({"op": operation, **members}).encode() + b"\n")
        except OSError as error:
            raise KosError(f"the supervisor does not answer: {error}") from error

    def line(self) -> bytes:
        """The next line, however long it takes; b"" at the end."""
        try:
            return self._file.readline(LINE_BYTES_MAX)
        except (OSError, ValueError):
            return b""  # closed, here or there

    def unlimited(self) -> None:
        """From now on, wait for lines without a limit of time."""
        self._socket.settimeout(None)

    def trace(self, seconds: float | None = None) -> Iterator[dict[str, Any]]:
        """Frames of the trace (`kos.abi.trace_frame`) as they come, until the system or the time ends."""
        self.request("trace")
        return (value["trace"] for value in self._stream(seconds) if "trace" in value)

    def request(self, operation: str, **members: Any) -> dict[str, Any]:
        """One operation; → its answer.

        Raises:
            KosError: the supervisor refused, did not answer in time or went away.
        """
        try:
            self._socket.sendall(json.dumps({"op": operation, **members}).encode() + b"\n")
            line = self._file.readline(LINE_BYTES_MAX)
        except OSError as error:
            raise KosError(f"the supervisor does not answer: {error}") from error
        if not line:
            raise KosError("the supervisor went away before it answered")
        answer = json.loads(line)
        if not answer["ok"]:
            raise KosError(answer["error"]["message"], hint=answer["error"]["hint"])
        return answer

    def _stream(self, seconds: float | None = None) -> Iterator[dict[str, Any]]:
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or end > time.monotonic():
            self._socket.settimeout(None if end is None else max(end - time.monotonic(), 0.001))
            try:
                line = self._file.readline(LINE_BYTES_MAX)
            except TimeoutError:
                return
            if not line:
                return
            yield json.loads(line)
