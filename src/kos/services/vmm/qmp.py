"""QEMU's machine protocol (QMP, docs/interop/qmp-spec.rst) on a connected socket.

One thread reads (`feed`), any may send. QEMU holds the guest, so what it says is limited in length and
checked for its shape.
"""

from __future__ import annotations

import json
import socket
import threading

LINE_MAX = 1 << 20  # bytes of one answer


class Qmp:
    """The client's side; `events` collects what QEMU tells by itself, as (name, data)."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.greeted = False
        self._rest = b""
        self._answers: dict[int, dict] = {}
        self._news = threading.Condition()
        self._last = 0

    def send(self, execute: str) -> int:
        """Give a command without waiting for its answer; → its number."""
        with self._news:
            self._last += 1
            number = self._last
        text = json.dumps({"execute": execute, "id": number})
        self.connection.sendall(text.encode() + b"\n")
        return number

    def call(self, execute: str, seconds: float) -> object:
        """Give a command and wait for its answer, from another thread than the reader's.

        Raises:
            TimeoutError: QEMU does not answer.
            ValueError: it refused.
        """
        number = self.send(execute)
        with self._news:
            if not self._news.wait_for(lambda: number in self._answers, seconds):
                raise TimeoutError(execute)
            answer = self._answers.pop(number)
        if "return" not in answer:
            raise ValueError(f"{execute}: {answer.get('error')}")
        return answer["return"]

    def feed(self, data: bytes) -> list[tuple[str, dict]]:
        """Take what came; → the events in it.

        Raises:
            ValueError: this is no QMP.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_MAX:
            raise ValueError(f"QMP: a line of more than {LINE_MAX} bytes")
        events = []
        for line in filter(bytes.strip, lines):
            message = json.loads(line)
            if not isinstance(message, dict):
                raise ValueError("QMP: expected an object")
            if "QMP" in message:
                self.send("qmp_capabilities")
            elif isinstance(message.get("event"), str):
                details = message.get("data")
                events.append((message["event"], details if isinstance(details, dict) else {}))
            else:
                self._answer(message)
        return events

    def _answer(self, message: dict) -> None:
        self.greeted = True
        with self._news:
            # Only what somebody waits for is kept, and nobody waits for more than the last few.
            self._answers[message.get("id", 0)] = message
            for old in sorted(self._answers)[:-8]:
                del self._answers[old]
            self._news.notify_all()
