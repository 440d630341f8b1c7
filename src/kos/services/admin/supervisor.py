"""The supervisor's control socket, without waiting: requests, their answers, console and events between.

One connection carries all of it. What comes is the supervisor's word; only its size is checked.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from kos.abi.errors import KosError

LINE_BYTES_MAX = 16 << 20
READ_SIZE = 64 * 1024

Answer = Callable[[dict[str, Any]], None]


class SupervisorLink:
    """Speaks with the supervisor over a connected socket.

    Args:
        connection: connected; becomes non-blocking.
        on_line: told each console line.
        on_event: told each event.
        on_trace: told each frame of the trace, or that somebody wants it.
        on_stream: told what comes on a stream.
    """

    def __init__(
        self,
        connection: socket.socket,
        on_line: Callable[[str], None],
        on_event: Callable[[dict[str, Any]], None],
        on_trace: Callable[[Any], None] | None = None,
        on_stream: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._on_line = on_line
        self._on_event = on_event
        self._on_trace = on_trace
        self._on_stream = on_stream
        self._waiting: deque[tuple[bytes, Answer]] = deque()  # the first one is under way
        self._input = bytearray()
        self._output = bytearray()
        self._descriptors: list[int] = []

    @property
    def waiting(self) -> int:
        """Requests that have no answer yet."""
        return len(self._waiting)

    @property
    def wants_to_write(self) -> bool:
        return bool(self._output)

    def request(self, operation: str, answer: Answer, **members: Any) -> None:
        """Ask; `answer` is called with {"ok": …} when it comes.

        One request is under way at a time: the supervisor answers some at once and others, such as `status`,
        when others have answered it, and its answers do not say what they answer.
        """
        self._waiting.append((json.dumps({"op": operation, **members}).encode() + b"\n", answer))
        if len(self._waiting) == 1:
            self._next()

    def tell(self, operation: str, **members: Any) -> None:
        """An order that has no answer, and so need not wait for its turn."""
        self._output += json.dumps({"op": operation, **members}).encode() + b"\n"
        self.flush()

    def _next(self) -> None:
        self._output += self._waiting[0][0]
        self.flush()

    def take_descriptor(self) -> int | None:
        """The descriptor that came with the answer that is being told."""
        return self._descriptors.pop(0) if self._descriptors else None

    def flush(self) -> None:
        """Send what can be sent now."""
        try:
            while self._output:
                del self._output[: self.connection.send(self._output)]
        except BlockingIOError:
            return

    def read(self) -> None:
        """Take what has come. Raises KosError when the supervisor is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.connection, READ_SIZE, 1)
        except BlockingIOError:
            return
        self._descriptors += descriptors
        if not data:
            raise KosError("the supervisor went away")
        self._input += data
        while (end := self._input.find(b"\n")) >= 0:
            line = bytes(self._input[:end])
            del self._input[: end + 1]
            self._take(json.loads(line))
        if len(self._input) > LINE_BYTES_MAX:
            raise KosError("the supervisor sent a line without an end")

    def _take(self, value: dict[str, Any]) -> None:
        if "ok" in value:
            if self._waiting:
                _, answer = self._waiting.popleft()
                if self._waiting:
                    self._next()
                answer(value)
        elif "line" in value:
            self._on_line(value["line"])
        elif "event" in value:
            self._on_event(value)
        elif "trace" in value and self._on_trace is not None:
            self._on_trace(value["trace"])
        elif "stream" in value and self._on_stream is not None:
            self._on_stream(value)
