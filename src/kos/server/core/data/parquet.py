"""Points as Apache Parquet, streamed: one flat table, plain encoding, pages compressed with zstd.

The format is written here because a library for it is larger than the whole server; only what one table of
required columns needs. After https://parquet.apache.org/docs/file-format/ and its Thrift compact protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import zstandard

MAGIC = b"PAR1"
ROWS = 50_000  # of one row group; all of it is in memory
LEVEL = 3

# Types, converted types and codec of the format.
INT64, DOUBLE, BYTE_ARRAY = 2, 5, 6
UTF8, TIMESTAMP_MILLIS = 0, 9
ZSTD, PLAIN, RLE, DATA_PAGE, REQUIRED = 6, 0, 3, 0, 0

# Thrift compact protocol: types of fields.
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12

Row = tuple[str, str, str, int, float]


class Thrift:
    """Structures in Thrift's compact protocol."""

    def __init__(self) -> None:
        self.out = bytearray()
        self._last = [0]

    def integer(self, field: int, value: int, kind: int = _I32) -> None:
        self._head(field, kind)
        self.out += _zigzag(value)

    def text(self, field: int, value: str) -> None:
        self._head(field, _BINARY)
        self.bytes(value.encode())

    def bytes(self, data: bytes) -> None:
        self.out += _varint(len(data)) + data

    def sequence(self, field: int, kind: int, size: int) -> None:
        """The head of a list; its items follow."""
        self._head(field, _LIST)
        self.out += bytes([size << 4 | kind]) if size < 15 else bytes([0xF0 | kind]) + _varint(size)

    def begin(self, field: int | None = None) -> None:
        """A structure: a field of the one around it, or an item of a list."""
        if field is not None:
            self._head(field, _STRUCT)
        self._last.append(0)

    def end(self) -> None:
        self.out.append(0)
        self._last.pop()

    def _head(self, field: int, kind: int) -> None:
        step = field - self._last[-1]
        assert 0 < step < 16, "fields come in order"
        self.out.append(step << 4 | kind)
        self._last[-1] = field


@dataclass(frozen=True)
class Column:
    """One column: its type, and what readers should take it for."""

    name: str
    kind: int
    converted: int | None = None

    def plain(self, values: Sequence[object]) -> bytes:
        """The values in plain encoding."""
        if self.kind == BYTE_ARRAY:
            encoded = [str(value).encode() for value in values]
            return b"".join(struct.pack("<I", len(value)) + value for value in encoded)
        return struct.pack(f"<{len(values)}{'q' if self.kind == INT64 else 'd'}", *values)


COLUMNS = (
    Column("device", BYTE_ARRAY, UTF8),
    Column("name", BYTE_ARRAY, UTF8),
    Column("series", BYTE_ARRAY, UTF8),
    Column("time", INT64, TIMESTAMP_MILLIS),
    Column("value", DOUBLE),
)


@dataclass(frozen=True)
class Chunk:
    """One column of one row group, as it lies in the file."""

    offset: int
    size: int
    plain_size: int


def as_parquet(found: Iterator[Row]) -> Iterator[bytes]:
    """The file, piece by piece."""
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    groups: list[tuple[int, list[Chunk]]] = []
    at = len(MAGIC)
    yield MAGIC
    while rows := _take(found):
        chunks = []
        for column, values in zip(COLUMNS, zip(*rows, strict=True), strict=True):
            plain = column.plain(values)
            page = compressor.compress(plain)
            head = _page_head(len(rows), len(plain), len(page))
            yield head + page
            chunks.append(Chunk(at, len(head) + len(page), len(head) + len(plain)))
            at += chunks[-1].size
        groups.append((len(rows), chunks))
    footer = _footer(groups)
    yield footer + struct.pack("<I", len(footer)) + MAGIC


def _take(found: Iterator[Row]) -> list[Row]:
    rows = []
    for row in found:
        rows.append(row)
        if len(rows) == ROWS:
            break
    return rows


def _page_head(rows: int, plain: int, size: int) -> bytes:
    thrift = Thrift()
    thrift.begin()
    for field, value in ((1, DATA_PAGE), (2, plain), (3, size)):
        thrift.integer(field, value)
    thrift.begin(5)
    for field, value in ((1, rows), (2, PLAIN), (3, RLE), (4, RLE)):
        thrift.integer(field, value)
    thrift.end()
    thrift.end()
    return bytes(thrift.out)


def _footer(groups: Sequence[tuple[int, Sequence[Chunk]]]) -> bytes:
    thrift = Thrift()
    thrift.begin()
    thrift.integer(1, 1)
    thrift.sequence(2, _STRUCT, len(COLUMNS) + 1)
    thrift.begin()
    thrift.text(4, "points")
    thrift.integer(5, len(COLUMNS))
    thrift.end()
    for column in COLUMNS:
        thrift.begin()
        thrift.integer(1, column.kind)
        thrift.integer(3, REQUIRED)
        thrift.text(4, column.name)
        if column.converted is not None:
            thrift.integer(6, column.converted)
        thrift.end()
    thrift.integer(3, sum(rows for rows, _ in groups), _I64)
    thrift.sequence(4, _STRUCT, len(groups))
    for rows, chunks in groups:
        thrift.begin()
        thrift.sequence(1, _STRUCT, len(chunks))
        for column, chunk in zip(COLUMNS, chunks, strict=True):
            _column(thrift, column, chunk, rows)
        thrift.integer(2, sum(chunk.plain_size for chunk in chunks), _I64)
        thrift.integer(3, rows, _I64)
        thrift.end()
    thrift.text(6, "kos")
    thrift.end()
    return bytes(thrift.out)


def _column(thrift: Thrift, column: Column, chunk: Chunk, rows: int) -> None:
    thrift.begin()
    thrift.integer(2, chunk.offset, _I64)
    thrift.begin(3)
    thrift.integer(1, column.kind)
    thrift.sequence(2, _I32, 2)
    thrift.out += _zigzag(PLAIN) + _zigzag(RLE)
    thrift.sequence(3, _BINARY, 1)
    thrift.bytes(column.name.encode())
    thrift.integer(4, ZSTD)
    thrift.integer(5, rows, _I64)
    thrift.integer(6, chunk.plain_size, _I64)
    thrift.integer(7, chunk.size, _I64)
    thrift.integer(9, chunk.offset, _I64)
    thrift.end()
    thrift.end()


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
