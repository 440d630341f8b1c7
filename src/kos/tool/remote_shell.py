"""A shell in the terminal: lines are edited here, with completion and history, and run in the app.

What an app sends is printed without its control characters: it may not move the cursor of whoever looks
into it.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from kos.abi.errors import KosError
from kos.abi.shell import Lines, wish
from kos.device.control.stream import StreamReader

COMPLETE_SECONDS = 2.0  # that a key press waits for completions


class RemoteShell:
    """One session.

    Args:
        stream: open, of kind "shell".
        show: takes what the app prints.
    """

    def __init__(self, stream: StreamReader, show: Callable[[str], None]) -> None:
        self._stream = stream
        self._show = show
        self._prompts: queue.Queue[str | None] = queue.Queue()
        self._completions: queue.Queue[list[str]] = queue.Queue()
        self._mistake: KosError | None = None
        self.banner = ""
        threading.Thread(target=self._read, name="shell", daemon=True).start()

    def prompt(self) -> str | None:
        """Wait until the app waits for a line; → its prompt, None at the end."""
        while True:
            try:
                found = self._prompts.get(timeout=0.5)  # in pieces, so that Ctrl-C is heard
            except queue.Empty:
                continue
            if self._mistake:
                raise self._mistake
            return found

    def run(self, line: str) -> None:
        self._stream.send(wish(run=line))

    def interrupt(self) -> None:
        self._stream.send(wish(interrupt=True))

    def complete(self, text: str) -> list[str]:
        """Names that begin so."""
        self._stream.send(wish(complete=text))
        try:
            return self._completions.get(timeout=COMPLETE_SECONDS)
        except queue.Empty:
            return []

    @property
    def reason(self) -> str:
        return self._stream.reason or "left"

    def _read(self) -> None:
        lines = Lines()
        try:
            while data := self._stream.receive():
                for said in lines.feed(data):
                    self._take(said)
        except KosError as error:
            self._mistake = error
        self._prompts.put(None)

    def _take(self, said: dict[str, Any]) -> None:
        match said:
            case {"banner": str(text)}:
                self.banner = harmless(text)
            case {"completions": list(found)}:
                self._completions.put([harmless(str(one)) for one in found])
        if "out" in said:
            self._show(harmless(str(said["out"])))
        if "prompt" in said:
            self._prompts.put(harmless(str(said["prompt"])))


def harmless(text: str) -> str:
    """Text without what would steer a terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def run_all(shell: RemoteShell, lines: Iterable[str]) -> None:
    """Run lines, each once the one before is done."""
    for line in lines:
        if shell.prompt() is None:
            return
        shell.run(line.rstrip("\n"))
    shell.prompt()


def interact(shell: RemoteShell) -> None:
    """Lines of the terminal, until Ctrl-D or until the app ends it."""
    _edit_lines(shell)
    first = True
    while True:
        try:
            prompt = shell.prompt()
            if prompt is None:
                return
            if first:
                print(f"{shell.banner}; Ctrl-C interrupts, Ctrl-D leaves", file=sys.stderr)
                first = False
            shell.run(input(prompt))
        except KeyboardInterrupt:
            shell.interrupt()
        except EOFError:
            print()
            return


def _edit_lines(shell: RemoteShell) -> None:
    try:
        import readline
    except ImportError:
        return
    found: list[str] = []

    def complete(text: str, state: int) -> str | None:
        nonlocal found
        if state == 0:
            found = shell.complete(text) if text.strip() else ["    "]
        return found[state] if state < len(found) else None

    readline.set_completer_delims(" \t\n`~!@#$%^&*()-=+[{]}\\|;:'\",<>/?")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
