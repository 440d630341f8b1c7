"""Streams: bytes between a person and a running app, for a shell, a guest's console or a debugger.

A stream has the same shape on every hop (app, supervisor, admin, server, reader): it is opened for one app
by its name, carries bytes both ways, and is closed by either side with a reason. Nobody sends more than the
other side has said that it takes: each side begins with `WINDOW` bytes and gets more by a grant once they
were taken. A stream that nobody speaks on for `SILENCE_MAX` ends: its reader is gone.

Plain Python: no import outside the standard library, no I/O.
"""

from __future__ import annotations

import re

from kos.abi.debug import PIECE_MAX
from kos.abi.errors import KosError
from kos.abi.records import dataclass

# What a stream is, by the kind of the app's image; a kind that is not here has none.
SHELL = "shell"  # an interpreter in a Python app: a JSON object a line, see below
CONSOLE = "console"  # the serial console of a microVM's guest
GDB = "gdb"  # gdb's remote serial protocol, for a C app
KINDS = (SHELL, CONSOLE, GDB)

WINDOW = 64 * 1024  # bytes on the way to a reader that has not said that it took them
REASON_MAX = 400  # characters of why a stream was closed
WHO_MAX = 128  # characters of who opened it
STREAMS_MAX = 8  # open at one time through one connection
KEEP_ALIVE = 10.0  # seconds between two signs of life of a reader
SILENCE_MAX = 35.0  # seconds without one after which a stream ends
ID = re.compile(r"[a-z0-9]{1,32}")

# --- frames of the device session ---------------------------------------------------------------------------
_DATA, _MORE, _END = b"D", b"M", b"E"


@dataclass(frozen=True)
class Data:
    """Bytes."""

    data: bytes

    def to_bytes(self) -> bytes:
        return _DATA + self.data


@dataclass(frozen=True)
class More:
    """So many more bytes may come; 0 is only a sign of life."""

    count: int

    def to_bytes(self) -> bytes:
        return _MORE + str(self.count).encode()


@dataclass(frozen=True)
class End:
    """It is over."""

    reason: str

    def to_bytes(self) -> bytes:
        return _END + self.reason[:REASON_MAX].encode(errors="replace")


Frame = Data | More | End


def parse(raw: bytes) -> Frame:
    """A frame that came from the other side."""
    kind, rest = raw[:1], raw[1:]
    if kind == _DATA and len(rest) <= PIECE_MAX:
        return Data(rest)
    if kind == _MORE and len(rest) <= 6 and rest.isdigit() and int(rest) <= WINDOW:
        return More(int(rest))
    if kind == _END and len(rest) <= 4 * REASON_MAX:
        return End(printable(rest.decode(errors="replace")))
    raise KosError(f"not a frame of a stream: {raw[:20]!r}, {len(raw)} bytes")


def printable(text: str) -> str:
    """A reason in one line, whoever wrote it."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)[:REASON_MAX]
