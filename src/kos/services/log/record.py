"""One line of the log: its form on the wire, on storage and on the console. Pure."""

from __future__ import annotations

from collections import namedtuple
from struct import Struct, error

from kos.abi.errors import KosError
from kos.abi.message import APP_NAME_MAX
from kos.abi.services import LOG_LEVEL_DEBUG, LOG_LEVEL_ERROR, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_TEXT_MAX

LEVELS = {
    LOG_LEVEL_DEBUG: "debug",
    LOG_LEVEL_INFO: "info",
    LOG_LEVEL_WARN: "warn",
    LOG_LEVEL_ERROR: "error",
}
_HEAD = Struct("<QQBBH")
_CUT = "… [{} bytes cut]"
_TEXT_ROOM = LOG_TEXT_MAX + len(_CUT.format(4096).encode())
RECORD_MAX = _HEAD.size + APP_NAME_MAX + _TEXT_ROOM
# Characters that move the reader's cursor or end a line, but for the tabulator, as escapes.
_ESCAPES = {
    code: chr(code).encode("unicode_escape").decode()
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
    if chr(code) != "\t"
}


class Record(namedtuple("_Record", "sequence milliseconds level app text")):
    """A line: `milliseconds` since 1970 by the device's clock, which may jump; `sequence` never does."""

    __slots__ = ()

    def encode(self) -> bytes:
        name, text = self.app.encode(), self.text.encode()
        return _HEAD.pack(self.sequence, self.milliseconds, self.level, len(name), len(text)) + name + text

    def console(self) -> str:
        """As printed on the console, which adds time and the log server's own name in front."""
        return f"{LEVELS[self.level]:<5} {self.app}: {self.text}"


def decode(data: bytes) -> tuple[Record, int]:
    """The record at the start of `data` and how many bytes it takes.

    Raises:
        KosError: the bytes are no record.
    """
    try:
        sequence, milliseconds, level, name_size, text_size = _HEAD.unpack_from(data)
        end = _HEAD.size + name_size + text_size
        if end > len(data) or level not in LEVELS or name_size > APP_NAME_MAX or text_size > _TEXT_ROOM:
            raise KosError(f"not a log record: {end} bytes announced, level {level}, {len(data)} bytes there")
        name = data[_HEAD.size : _HEAD.size + name_size].decode()
        text = data[_HEAD.size + name_size : end].decode()
    except (error, UnicodeDecodeError) as problem:
        raise KosError(f"not a log record: {problem}") from problem
    return Record(sequence, milliseconds, level, name, text), end


def decode_all(data: bytes) -> list[Record]:
    """All records of one read-back answer."""
    records = []
    while data:
        record, size = decode(data)
        records.append(record)
        data = data[size:]
    return records


def clean(payload: bytes) -> str:
    """A client's text as one safe line.

    Control characters are escaped: a line break inside a text would let an app write a console line under
    another app's name, and an escape sequence would let it repaint the reader's terminal.
    """
    cut = len(payload) - LOG_TEXT_MAX
    text = payload[:LOG_TEXT_MAX].decode("utf-8", "ignore" if cut > 0 else "backslashreplace")
    text = text.rstrip("\r\n").translate(_ESCAPES)
    excess = len(text.encode()) - LOG_TEXT_MAX
    if excess > 0:  # escapes are longer than what they stand for
        text = text.encode()[:LOG_TEXT_MAX].decode("utf-8", "ignore")
        cut = max(cut, 0) + excess
    return text + _CUT.format(cut) if cut > 0 else text
