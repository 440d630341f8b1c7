"""Bytes of one app become console lines: whole, printable, of bounded length and rate. Pure; no I/O.

`|      2.503| wx_sensor          | text`: seconds since start, name, text. Where an over-long line was split,
`+` stands for the last bar of what continues it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LINE_BYTES_MAX = 4096  # a longer line is split
RATE = 256 << 10  # bytes a second that one app may write for long
BURST = 1 << 20  # bytes that it may write at once
_LINE_COST = 32  # what a line costs beyond its bytes: a flood of empty lines is a flood too
SUPERVISOR = "supervisor"
WHOLE = "|"
CONTINUED = "+"


def format_line(seconds: float, name: str, text: str, *, continued: bool = False) -> str:
    """One line of the console, without new-line."""
    return f"|{seconds:11.3f}| {name:<18s} {CONTINUED if continued else WHOLE} {text}"


def printable(data: bytes) -> str:
    """Text that cannot steer a terminal or break a line: what is not UTF-8 or not printable is escaped."""
    text = data.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


class Bucket:
    """Lets `RATE` bytes a second through, and `BURST` at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._level = float(BURST)
        self._last = clock()

    def take(self, amount: int) -> bool:
        now = self._clock()
        self._level = min(BURST, self._level + (now - self._last) * RATE)
        self._last = now
        if self._level < amount:
            return False
        self._level -= amount
        return True


class LineAssembler:
    """Collects what one app writes and passes whole lines on.

    Args:
        emit: takes the text of a line and whether it continues the one before.
        dropped: told how many lines a flood lost, when the app is heard again.
    """

    def __init__(
        self,
        emit: Callable[[str, bool], None],
        dropped: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit = emit
        self._report = dropped
        self._bucket = Bucket(clock)
        self._partial = bytearray()
        self._continued = False
        self._lost = 0

    @property
    def flooding(self) -> bool:
        """Whether lines are being dropped now."""
        return self._lost > 0

    def feed(self, data: bytes) -> None:
        """More bytes of the app; lines that they complete go out at once."""
        self._partial += data
        start = 0
        while (end := self._partial.find(b"\n", start)) >= 0:
            self._line(bytes(self._partial[start:end]), ended=True)
            start = end + 1
        del self._partial[:start]
        while len(self._partial) > LINE_BYTES_MAX:
            cut = _cut(self._partial)
            self._line(bytes(self._partial[:cut]), ended=False)
            del self._partial[:cut]

    def flush(self) -> None:
        """The app has ended: what it wrote without a new-line is a line, and losses are told."""
        if self._partial:
            self._line(bytes(self._partial), ended=True)
            self._partial.clear()
        self._continued = False
        self._tell_lost()

    def _line(self, data: bytes, *, ended: bool) -> None:
        while len(data) > LINE_BYTES_MAX:
            cut = _cut(data)
            self._piece(data[:cut], ended=False)
            data = data[cut:]
        self._piece(data.removesuffix(b"\r"), ended=ended)

    def _piece(self, data: bytes, *, ended: bool) -> None:
        continued, self._continued = self._continued, not ended
        if not self._bucket.take(len(data) + _LINE_COST):
            self._lost += 1
            return
        self._tell_lost()
        self._emit(printable(data), continued)

    def _tell_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._report(lost)


def _cut(data: bytes | bytearray) -> int:
    """Where to split an over-long line: at the limit, but not inside a character."""
    cut = LINE_BYTES_MAX
    while cut > LINE_BYTES_MAX - 3 and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut
