"""Read console lines back: from a saved log or a live stream, per app, with colour for a terminal.

It must cope with any text, since a log may be cut or be somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kos.abi.records import dataclass
from kos.device.console.lines import CONTINUED, SUPERVISOR, WHOLE

_LINE = re.compile(r"\| *(?P<time>\d+\.\d{3})\| (?P<app>\S+) *(?P<marker>[|+]) ?(?P<text>.*)", re.DOTALL)
# Whoever prints for others, and where it says for whom.
_ABOUT = {
    SUPERVISOR: re.compile(r"(?P<app>[^:]+):"),
    "log_server": re.compile(r"(?:debug|info|warn|error) +(?P<app>[^:]+):"),
}
# Bright enough on dark and on light; red and yellow are left to what is wrong.
_COLOURS = (36, 32, 35, 34, 96, 92, 95, 94)
_SUPERVISOR_COLOUR = 33


@dataclass(frozen=True)
class ConsoleLine:
    """One line: seconds since start, who wrote it, what; `continued` when it goes on from the app's line
    before.
    """

    time: float
    app: str
    text: str
    continued: bool = False


def parse_line(line: str) -> ConsoleLine | None:
    """The parts of a line, or None where it is not one of the console's."""
    found = _LINE.fullmatch(line.rstrip("\n"))
    if not found:
        return None
    return ConsoleLine(
        float(found["time"]), found["app"], found["text"], continued=found["marker"] == CONTINUED
    )


def only(lines: Iterable[str], apps: Iterable[str]) -> Iterator[str]:
    """The lines of these apps, unchanged; of the supervisor and the log those that speak of them."""
    wanted = set(apps)
    for line in lines:
        parsed = parse_line(line)
        if parsed is None:
            continue
        named = _ABOUT[parsed.app].match(parsed.text) if parsed.app in _ABOUT else None
        if parsed.app in wanted or (named and named["app"] in wanted):
            yield line


def coloured(line: str) -> str:
    """The line for a terminal: time dim, each app's name in a colour of its own."""
    parsed = parse_line(line)
    if parsed is None:
        return line
    head, _, rest = line.partition(parsed.app)
    supervisor = parsed.app == SUPERVISOR
    colour = _SUPERVISOR_COLOUR if supervisor else _COLOURS[sum(parsed.app.encode()) % len(_COLOURS)]
    return f"\x1b[2m{head}\x1b[0m\x1b[{colour}m{parsed.app}\x1b[0m{rest}"


__all__ = ["CONTINUED", "SUPERVISOR", "WHOLE", "ConsoleLine", "coloured", "only", "parse_line"]
