"""A raw terminal: keys go to the other side of a stream as they are pressed, what comes back is shown as is.

Only for what is a terminal there too, such as a guest's console: its output may steer the terminal here.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import tty

from kos.abi.errors import KosError
from kos.device.control.stream import StreamReader

LEAVE = b"\x1d"  # Ctrl-]
SILENCE = 1.0  # seconds without output after which a session whose input has ended is left
_PIECE = 4096


class Terminal:
    """One session between our standard input and output and a stream."""

    def __init__(self, stream: StreamReader) -> None:
        self._stream = stream
        self._heard = threading.Event()  # something came since it was cleared last
        self._over = threading.Event()

    def run(self) -> str | None:
        """Until the user leaves or the other side ends; → why that one ended, None where it did not."""
        threading.Thread(target=self._show, name="terminal", daemon=True).start()
        if sys.stdin.isatty():
            before = termios.tcgetattr(sys.stdin)
            tty.setraw(sys.stdin)
            try:
                self._type()
            finally:
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        else:
            self._type()
        return self._stream.reason

    def _type(self) -> None:
        """Send what is typed, up to Ctrl-] or the end of the input."""
        descriptor = sys.stdin.fileno()
        while not self._over.is_set():
            if not select.select([descriptor], [], [], 0.2)[0]:
                continue
            data = os.read(descriptor, _PIECE)
            keys, left, _rest = data.partition(LEAVE)
            if keys:
                try:
                    self._stream.send(keys)
                except KosError:
                    return  # it was closed, which `reason` tells
            if left:
                return
            if not data:
                self._linger()
                return

    def _linger(self) -> None:
        """The input has ended: stay as long as answers come."""
        while not self._over.is_set() and self._heard.wait(SILENCE):
            self._heard.clear()

    def _show(self) -> None:
        try:
            while data := self._stream.receive():
                self._heard.set()
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
        except (KosError, OSError):
            pass  # we left, or nobody reads us any more
        self._over.set()
