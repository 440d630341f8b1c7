"""Lines of the console: whole, printable, bounded in length and rate."""

from __future__ import annotations

import pytest

from kos.device.console.lines import (
    BURST,
    LINE_BYTES_MAX,
    RATE,
    LineAssembler,
    format_line,
    printable,
)
from kos.device.console.parse import ConsoleLine, coloured, only, parse_line


class Heard:
    """What an assembler passed on, on a clock of the test's."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[tuple[str, bool]] = []
        self.lost: list[int] = []
        self.assembler = LineAssembler(
            lambda text, continued: self.lines.append((text, continued)), self.lost.append, lambda: self.now
        )


def test_format() -> None:
    assert format_line(2.503, "wx_sensor", "text") == "|      2.503| wx_sensor          | text"
    assert format_line(12345678.9, "a", "") == "|12345678.900| a                  | "


def test_lines_are_kept_until_they_are_whole() -> None:
    heard = Heard()
    heard.assembler.feed(b"one\ntw")
    assert heard.lines == [("one", False)]
    heard.assembler.feed(b"o\n\nthree")
    assert heard.lines == [("one", False), ("two", False), ("", False)]
    heard.assembler.flush()
    assert heard.lines[-1] == ("three", False)
    heard.assembler.flush()
    assert len(heard.lines) == 4


@pytest.mark.parametrize("pieces", [1, 7, 4096])
def test_long_lines_are_split_at_the_limit(pieces: int) -> None:
    heard = Heard()
    text = b"x" * (2 * LINE_BYTES_MAX + 5) + b"\nnext\n"
    for start in range(0, len(text), pieces):
        heard.assembler.feed(text[start : start + pieces])
    assert [(len(line), continued) for line, continued in heard.lines] == [
        (LINE_BYTES_MAX, False),
        (LINE_BYTES_MAX, True),
        (5, True),
        (4, False),
    ]


def test_a_line_of_the_limit_is_one_line() -> None:
    heard = Heard()
    heard.assembler.feed(b"x" * LINE_BYTES_MAX + b"\n" + b"y" * (LINE_BYTES_MAX + 1) + b"\n")
    assert [len(line) for line, _ in heard.lines] == [LINE_BYTES_MAX, LINE_BYTES_MAX, 1]


def test_characters_are_not_cut() -> None:
    heard = Heard()
    heard.assembler.feed("é".encode() * LINE_BYTES_MAX + b"\n")
    assert "".join(line for line, _ in heard.lines) == "é" * LINE_BYTES_MAX


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain \tand tab", "plain \tand tab"),
        ("grüße 世界".encode(), "grüße 世界"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"\x1b[31mred\x00", r"\x1b[31mred\x00"),
        ("\u2028\x85\u202e".encode(), r"\u2028\x85\u202e"),
        (b"a\rb", r"a\rb"),
    ],
)
def test_what_is_not_printable_is_escaped(data: bytes, text: str) -> None:
    assert printable(data) == text


def test_windows_line_ends() -> None:
    heard = Heard()
    heard.assembler.feed(b"one\r\n")
    assert heard.lines == [("one", False)]


def test_flood_is_dropped_counted_and_told() -> None:
    heard = Heard()
    line = b"x" * 1000 + b"\n"
    heard.assembler.feed(line * 3000)
    passed = len(heard.lines)
    assert passed * len(line) <= BURST < (passed + 1) * 1100
    assert heard.assembler.flooding and not heard.lost
    heard.now += 2000 / RATE
    heard.assembler.feed(b"again\n")
    assert heard.lost == [3000 - passed]
    assert heard.lines[-1] == ("again", False)
    assert not heard.assembler.flooding


def test_losses_are_told_at_the_end_too() -> None:
    heard = Heard()
    heard.assembler.feed((b"x" * 4000 + b"\n") * 1000)
    heard.assembler.flush()
    assert heard.lost and sum(heard.lost) + len(heard.lines) == 1000


def test_empty_lines_are_a_flood_too() -> None:
    heard = Heard()
    heard.assembler.feed(b"\n" * 200_000)
    assert len(heard.lines) < 40_000


@pytest.mark.parametrize(
    ("name", "text", "continued"),
    [("a", "", False), ("an_app_whose_name_is_very_long_x", "t", False), ("b", "| x |  y", True)],
)
def test_parse_is_the_inverse(name: str, text: str, continued: bool) -> None:
    line = format_line(1.5, name, text, continued=continued)
    assert parse_line(line) == ConsoleLine(1.5, name, text, continued)


@pytest.mark.parametrize("line", ["", "noise", "| 1.5| a | x", "|      1.500| a"])
def test_parse_refuses_other_text(line: str) -> None:
    assert parse_line(line) is None


def test_filter_keeps_an_app_and_what_is_said_of_it() -> None:
    lines = [
        format_line(1, "a", "one"),
        format_line(1, "b", "a: two"),
        format_line(1, "supervisor", "a: three"),
        format_line(1, "supervisor", "stopping"),
        "noise",
    ]
    assert list(only(lines, ["a"])) == [lines[0], lines[2]]
    assert list(only(lines, ["supervisor"])) == [lines[2], lines[3]]


def test_only_some_apps_with_what_the_log_prints_for_them() -> None:
    lines = [
        format_line(1, "log_server", "info  a: one"),
        format_line(1, "log_server", "error b: a: two"),
        format_line(1, "c", "info  a: three"),
    ]
    assert list(only(lines, ["a"])) == [lines[0]]
    assert list(only(lines, ["log_server"])) == lines[:2]


def test_colour_keeps_the_text() -> None:
    line = format_line(1, "a", "one a")
    assert "\x1b[" in coloured(line) and coloured(line).endswith("| one a")
    assert coloured("noise") == "noise"
