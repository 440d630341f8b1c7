"""Console lines on their way to the server: gathered for a moment, sent as one document. No I/O."""

from __future__ import annotations

import re

from kos.abi.session import LINE_MAX, LINES_MAX, NAME_MAX, Console

GATHER = 0.2  # seconds that a line may wait for others
KEPT_MAX = 5000  # lines; beyond it the oldest are dropped and counted
DOCUMENT_BYTES = 120 * 1024  # of text in one document; JSON may double it
_LINE = re.compile(r"\|\s*(\d+\.\d{3})\| (\S+)\s*[|+] ?(.*)", re.DOTALL)


class ConsoleBuffer:
    """Lines that wait."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, str, str]] = []
        self._dropped = 0
        self.since: float | None = None  # when the first of them came

    def add(self, line: str, now: float) -> None:
        """One line as the supervisor writes it: `|   12.345| app | text`."""
        found = _LINE.fullmatch(line)
        if found is None:
            return
        self._lines.append((float(found[1]), found[2][:NAME_MAX], found[3][:LINE_MAX]))
        if len(self._lines) > KEPT_MAX:
            del self._lines[0]
            self._dropped += 1
        if self.since is None:
            self.since = now

    def due(self) -> float:
        """When the lines must go."""
        return float("inf") if self.since is None else self.since + GATHER

    def take(self, boot: str) -> bytes:
        """The next document."""
        chosen: list[tuple[float, str, str]] = []
        size = 0
        for line in self._lines[:LINES_MAX]:
            size += len(line[2].encode())
            if chosen and size > DOCUMENT_BYTES:
                break
            chosen.append(line)
        del self._lines[: len(chosen)]
        dropped, self._dropped = self._dropped, 0
        if not self._lines:
            self.since = None
        return Console(boot, tuple(chosen), dropped).to_bytes()
