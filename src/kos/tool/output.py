"""What the command line says, and where: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

import click

from kos.abi.errors import KosError


def plain(stream: Any) -> bool:
    return "NO_COLOR" in os.environ or not stream.isatty()


def style(text: str, **how: Any) -> str:
    """Coloured text for standard error, where colours are wanted."""
    return text if plain(sys.stderr) else click.style(text, **how)


def say(text: str) -> None:
    """Tell the user something, on standard error."""
    print(text, file=sys.stderr, flush=True)


def step(text: str) -> None:
    """Tell the user that a piece of work begins."""
    say(f"{style('•', fg='cyan')} {text}")


def result(text: str) -> None:
    """Print what a command was asked for, on standard output."""
    print(text, flush=True)


def result_json(value: Any) -> None:
    """The same as JSON, for programs."""
    result(json.dumps(value, indent=2, ensure_ascii=False))


def when(seconds: float) -> str:
    """A time since 1970 as this machine's clock shows it; as it is where that has no such time."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return str(seconds)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under headings, in columns as wide as they must be; numbers to the right."""
    texts = [[("" if cell is None else str(cell)) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(headings, *texts, strict=True)]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) or row[i] is None for row in rows)
        for i in range(len(headings))
    ]
    lines = []
    for cells in [list(headings), *texts]:
        fitted = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        ]
        lines.append("  ".join(fitted).rstrip())
    return "\n".join(lines)


def error(problem: KosError, help_of: str = "") -> None:
    """Say what is wrong and what to do next; where the error does not know that, whose help may."""
    place = f"{problem.where}: " if problem.where else ""
    say(f"{style('error:', fg='red', bold=True)} {place}{problem.message}")
    if hint := problem.hint or (help_of and f"{help_of} --help says what it takes"):
        say(f"{style('hint:', fg='green')} {hint}")


def bug() -> int:
    """Say that what just happened is not the user's fault; the exit code for it."""
    say(traceback.format_exc())
    say("This is a bug in KOS, not in what you did. Please report it with the lines above.")
    return 2
