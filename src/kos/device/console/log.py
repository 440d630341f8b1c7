"""Where console lines go: a bounded file, the last lines in memory, and whoever listens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from kos.device.console.lines import SUPERVISOR, LineAssembler, format_line

LOG_BYTES_MAX = 8 << 20  # of console.log; then it becomes console.log.1 and a new one begins
HISTORY_LINES = 1000  # kept in memory for those who join later
# Of those, in bytes: they go to a reader in one piece, as JSON, which is up to three times as long.
HISTORY_BYTES = 1 << 20

Subscriber = Callable[[str], None]


class Console:
    """The structured console of one system."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._start = clock()
        self._file = path.open("wb", buffering=0)
        self._size = 0
        self.unsaved = 0  # lines that could not be written
        self._subscribers: list[Subscriber] = []
        self.history: deque[str] = deque()
        self._history_size = 0

    def write(self, name: str, text: str, continued: bool = False) -> None:
        """One line of an app (or of the supervisor itself)."""
        line = format_line(self._clock() - self._start, name, text, continued=continued)
        self._save(line)
        self._remember(line)
        for subscriber in tuple(self._subscribers):
            subscriber(line)

    def say(self, text: str) -> None:
        """A line of the supervisor."""
        for part in text.splitlines() or [""]:
            self.write(SUPERVISOR, part)

    def assembler(self, name: str, also: Callable[[str], None] = lambda _text: None) -> LineAssembler:
        """For the output of one start of an app; `also` is told each line's text."""

        def emit(text: str, continued: bool) -> None:
            self.write(name, text, continued)
            also(text)

        return LineAssembler(
            emit,
            lambda lost: self.say(f"{name}: {lost} lines dropped, it writes too fast"),
            self._clock,
        )

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.remove(subscriber)

    def close(self) -> None:
        self._file.close()

    def _remember(self, line: str) -> None:
        self.history.append(line)
        self._history_size += len(line.encode())
        while len(self.history) > HISTORY_LINES or self._history_size > HISTORY_BYTES:
            self._history_size -= len(self.history.popleft().encode())

    def _save(self, line: str) -> None:
        try:
            self._append(line)
        except OSError:
            # A full disk costs the saved log its lines, not the system its supervisor.
            self.unsaved += 1

    def _append(self, line: str) -> None:
        data = f"{line}\n".encode()
        if self._size + len(data) > LOG_BYTES_MAX:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            full, self._file = self._file, self._path.open("wb", buffering=0)
            full.close()
            self._size = 0
        self._size += self._file.write(data)
