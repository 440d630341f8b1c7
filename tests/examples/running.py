"""`kos-tool run` of a project under test, and its console."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

DEADLINE = 120.0  # seconds; the first build of a C app on a machine makes the compiler's own libraries


class Run:
    """A system that runs, and what its console said so far."""

    def __init__(self, project: Path, environ: dict[str, str], *options: str) -> None:
        # Not below pytest's folder: the path of a socket has at most 108 bytes.
        self._runtime = Path(tempfile.mkdtemp(prefix="kos"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kos.tool", "run", *options, str(project)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": str(self._runtime), **environ},
            # Tests that a shell started in the background ignore Ctrl-C, and so would the command.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.lines: list[str] = []
        self._arrived: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._arrived.put(line.rstrip("\n"))
        self._arrived.put(None)

    def wait_for(self, pattern: str, seconds: float = DEADLINE) -> re.Match[str]:
        """The first console line after those seen so far that matches."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._arrived.get(timeout=max(0.0, end - time.monotonic()))
                if line is None:
                    self._arrived.put(None)  # for the next one who waits: nothing comes any more
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no line like {pattern!r} among:\n" + "\n".join(self.lines))
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match

    def expect(self, pattern: str, seconds: float = DEADLINE) -> None:
        """A console line that was seen or is yet to come: lines of different apps have no order."""
        if not self.seen(pattern):
            self.wait_for(pattern, seconds)

    def seen(self, pattern: str) -> list[str]:
        return [line for line in self.lines if re.search(pattern, line)]

    def stop(self) -> int:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        status = self._process.wait(90)
        self._reader.join(90)
        assert self._process.stdout
        self._process.stdout.close()
        shutil.rmtree(self._runtime)
        return status


# Runs a project, with settings in the environment, until the test ends.
Start = Callable[..., Run]
