"""The interpreter itself: statements of a reader, run one after the other in a thread of their own.

What it runs sees the names of the app's own module and changes them. It may do whatever the app may do, and
no more. What a statement prints goes to the reader; what the app's other threads print goes where it always
goes.
"""

from __future__ import annotations

import code
import ctypes
import json
import queue
import sys
import threading
import types
from typing import Any, TextIO

from kos.abi.debug import (
    SHELL_COMPLETIONS_MAX,
    SHELL_LINE_MAX,
    SHELL_OUTPUT_MAX,
    SHELL_WAITING_MAX,
)
from kos.app.shell.channel import Sender

ABANDONED_MAX = 2  # statements that wait in a call and cannot be interrupted; beyond it the shell ends
_FIRST, _NEXT = ">>> ", "... "


class Interpreter(code.InteractiveConsole):
    """A console that writes to the reader."""

    def __init__(self, shell: Shell, names: dict[str, Any]) -> None:
        super().__init__(names, "<shell>")
        self._shell = shell

    def write(self, data: str) -> None:
        self._shell.write(data)


class Shell:
    """One session."""

    def __init__(self, sender: Sender, module: types.ModuleType) -> None:
        self._sender = sender
        self._module = module
        self._input = bytearray()
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue(SHELL_WAITING_MAX)
        self._lock = threading.Lock()
        self._written = 0
        self._abandoned = 0
        self._open = True
        self._running: int | None = None  # the thread that runs a statement now
        self._interrupted = False
        self._outputs = _Outputs(self)
        self._console = Interpreter(self, module.__dict__)
        self._say(banner=f"Python {sys.version.split()[0]} in module {module.__name__}")
        self._start()

    # --- from the reader; never waits ---------------------------------------------------------------------
    def feed(self, data: bytes) -> None:
        self._input += data
        while (end := self._input.find(b"\n")) >= 0:
            line = bytes(self._input[:end])
            del self._input[: end + 1]
            self._take(line)
        if len(self._input) > SHELL_LINE_MAX:
            self._input.clear()
            self._notice(f"a line of over {SHELL_LINE_MAX} bytes is not taken")

    def close(self) -> None:
        self._open = False
        self._outputs.restore()
        self._drop_waiting()
        self._raise(SystemExit)
        self._lines.put(None)

    def _take(self, line: bytes) -> None:
        try:
            wish = json.loads(line)
        except (ValueError, RecursionError):
            wish = None
        match wish:
            case {"interrupt": _}:
                self._interrupt()
            case {"run": str()} | {"complete": str()}:
                try:
                    self._lines.put_nowait(wish)
                except queue.Full:
                    self._notice(f"over {SHELL_WAITING_MAX} lines wait: this one is not taken")
            case _:
                self._notice("expected run, complete or interrupt")

    def _interrupt(self) -> None:
        """Interrupt the statement; asked for again, leave it behind where it waits in a call."""
        self._drop_waiting()
        with self._lock:
            running, again = self._running, self._interrupted
            self._interrupted = True
        if running is None:
            self._console.resetbuffer()
            self._say(out="\nKeyboardInterrupt\n", prompt=_FIRST)
        elif not again:
            self._raise(KeyboardInterrupt)
        elif self._abandoned == ABANDONED_MAX:
            self._notice("too many statements wait in a call already; end this session")
        else:
            self._abandoned += 1
            self._notice("the statement waits in a call; it is left behind and ends when the call returns")
            self._outputs.forget()
            self._console = Interpreter(self, self._module.__dict__)
            self._start()

    def _drop_waiting(self) -> None:
        while True:
            try:
                self._lines.get_nowait()
            except queue.Empty:
                return

    def _raise(self, kind: type[BaseException]) -> None:
        """Raise an exception in the thread that runs a statement, at its next byte code."""
        with self._lock:
            if self._running is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._running), ctypes.py_object(kind)
                )

    # --- the thread that runs statements ------------------------------------------------------------------
    def _start(self) -> None:
        threading.Thread(target=self._run, args=(self._console,), name="kos-shell", daemon=True).start()

    def _run(self, console: Interpreter) -> None:
        me = threading.get_ident()
        self._outputs.mine(me)
        self._say(prompt=_FIRST)
        while console is self._console and (wish := self._lines.get()) is not None:
            if "complete" in wish:
                self._complete(wish["complete"])
                continue
            with self._lock:
                self._running, self._interrupted, self._written = me, False, 0
            more = False
            try:
                try:
                    more = console.push(wish["run"])
                finally:
                    with self._lock:
                        if self._running == me:
                            self._running = None
            except SystemExit:
                self._sender.end()
                return
            except BaseException as error:  # an interrupt that came between two byte codes of ours
                self._notice(type(error).__name__)
            if console is self._console:
                self._say(prompt=_NEXT if more else _FIRST)

    def _complete(self, text: str) -> None:
        import rlcompleter

        completer = rlcompleter.Completer(self._module.__dict__)
        found: list[str] = []
        try:
            while len(found) < SHELL_COMPLETIONS_MAX and (one := completer.complete(text, len(found))):
                found.append(one)
        except Exception:
            found.clear()  # an attribute that raises when it is looked at
        self._say(completions=found, of=text)

    # --- to the reader ------------------------------------------------------------------------------------
    def write(self, text: str) -> None:
        """What a statement prints, up to a limit."""
        room = SHELL_OUTPUT_MAX - self._written
        self._written += len(text)
        if room > 0:
            self._say(out=text[:room])
            if len(text) >= room:
                self._say(out=f"\n[more than {SHELL_OUTPUT_MAX} characters: the rest is not shown]\n")

    def _notice(self, text: str) -> None:
        self._say(out=f"[{text}]\n")

    def _say(self, **members: Any) -> None:
        self._sender.send(json.dumps(members).encode(errors="replace") + b"\n")


class _Outputs:
    """Standard output and standard error while a session is open: the shell's thread writes to the reader."""

    def __init__(self, shell: Shell) -> None:
        self.thread: int | None = None
        self._before = sys.stdout, sys.stderr
        sys.stdout = _Output(self, sys.stdout, shell)  # type: ignore[assignment]
        sys.stderr = _Output(self, sys.stderr, shell)  # type: ignore[assignment]

    def mine(self, thread: int) -> None:
        self.thread = thread

    def forget(self) -> None:
        """What the thread prints from now on is of no interest."""
        self.thread = None

    def restore(self) -> None:
        sys.stdout, sys.stderr = self._before


class _Output:
    def __init__(self, outputs: _Outputs, before: TextIO, shell: Shell) -> None:
        self._outputs, self._before, self._shell = outputs, before, shell

    def write(self, text: str) -> int:
        if threading.get_ident() == self._outputs.thread:
            self._shell.write(text)
            return len(text)
        return self._before.write(text)

    def flush(self) -> None:
        if threading.get_ident() != self._outputs.thread:
            self._before.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._before, name)
