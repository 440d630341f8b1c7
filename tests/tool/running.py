"""Run kos-tool as a user does: a process of its own, its two streams, its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_SECONDS = 120.0


def kos_tool(
    *arguments: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "kos.tool", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def completed(typed: str, **environment: str) -> list[str]:
    """What bash is offered for the last word of what was typed after `kos-tool`."""
    words = f"kos-tool {typed}"
    asked = {"_KOS_TOOL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = kos_tool("", **asked, **environment)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]


class Running:
    """A command that goes on, with what it printed so far in a file."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self.output = output

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def until(self, what: str, found: Callable[[], object]) -> None:
        """Wait for something to be true, with a deadline."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not found():
            assert time.monotonic() < deadline, f"waited for {what}:\n{self.text()}"
            assert self.process.poll() is None, f"ended before {what}:\n{self.text()}"
            time.sleep(0.02)

    def until_printed(self, text: str, times: int = 1) -> None:
        self.until(repr(text), lambda: self.text().count(text) >= times)

    def interrupt(self) -> int:
        """Press Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(WAIT_SECONDS)


@contextmanager
def going_on(*arguments: str | Path, output: Path, **environment: str) -> Iterator[Running]:
    """A command that goes on until it is interrupted; at the end it is gone."""
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "kos.tool", *map(str, arguments)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            # Tests that a shell started in the background ignore Ctrl-C, and so would the command.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        yield Running(process, output)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
