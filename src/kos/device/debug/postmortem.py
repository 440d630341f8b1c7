"""What is kept of an app that ended badly: why, its last words, where it was. A ring of small files.

Everything in a record but its reason may be the app's own words: it is text for people, never interpreted. A
disk that is full or broken costs records, not the system.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from kos.abi.hints import Any
from kos.device.process import End

RECORDS_MAX = 64  # beyond it the oldest go
LINES_KEPT = 40  # last console lines of an app
LINE_MAX = 400  # characters of one of them
RECORD_BYTES_MAX = 128 << 10  # of a file that is read back
ANSWER_BYTES_MAX = 2 << 20  # of all records that are told at once; older ones make room
CRASH = "kos: crash: "  # before what libkos writes when a C program crashes
_TRACEBACKS = ("Traceback (most recent call last):", "Fatal Python error: ")


class PostMortems:
    """The records of one system, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, record: dict[str, Any]) -> dict[str, Any]:
        """Keep a record; → it with its number, which no other has had."""
        numbers = self._numbers()
        record = {"number": (numbers[-1] if numbers else 0) + 1, **record}
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            unfinished = self._folder / "unfinished"
            with unfinished.open("w") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path(record["number"]))
            for number in numbers[: max(0, len(numbers) + 1 - RECORDS_MAX)]:
                self._path(number).unlink(missing_ok=True)
        return record

    def read(self, app: str | None = None) -> list[dict[str, Any]]:
        """The records, oldest first; what cannot be read, or is too much for one answer, is left out."""
        found = []
        for number in self._numbers():
            with contextlib.suppress(OSError, ValueError):
                with self._path(number).open("rb") as file:
                    record = json.loads(file.read(RECORD_BYTES_MAX))
                if isinstance(record, dict) and app in (None, record.get("app")):
                    found.append(record)
        while found and len(json.dumps(found)) > ANSWER_BYTES_MAX:
            del found[: len(found) // 2 or 1]
        return found

    def count(self) -> int:
        return len(self._numbers())

    def _numbers(self) -> list[int]:
        with contextlib.suppress(OSError):
            return sorted(int(path.stem) for path in self._folder.glob("*.json") if path.stem.isdigit())
        return []

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"


def record_of(app: str, end: End, lines: Sequence[str], **facts: Any) -> dict[str, Any]:
    """A record: `lines` are the app's last ones, `facts` what the supervisor knows beside."""
    lines = [line[:LINE_MAX] for line in lines][-LINES_KEPT:]
    crash = [line.removeprefix(CRASH) for line in lines if line.startswith(CRASH)]
    lines = [line for line in lines if not line.startswith(CRASH)]
    begin = max((n for n, line in enumerate(lines) if line.startswith(_TRACEBACKS)), default=None)
    return {
        "app": app,
        "time": round(time.time(), 3),
        "reason": end.text,
        "signal": end.signal,
        "status": end.status,
        "call": end.violation,
        "where": end.where,
        "memory": end.memory,
        "traceback": lines[begin:] if begin is not None else [],
        "crash": crash,
        "lines": lines[:begin],
        **facts,
    }
