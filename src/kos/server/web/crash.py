"""A crash as a page shows it: the record is a device's own words, and may hold anything in any place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SECTIONS = {"crash": "Where it crashed", "traceback": "Traceback", "lines": "Last lines"}
WORD_MAX = 200  # characters of what stands in a sentence


@dataclass(frozen=True)
class Crash:
    """What is known of one."""

    release: str
    ran: float  # seconds
    restarts: int
    memory: int  # bytes at most
    call: str
    where: str
    sections: tuple[tuple[str, str], ...]


def crash_of(detail: dict[str, Any]) -> Crash | None:
    """The record in an event's detail; None where there is none."""
    if not detail.get("app"):
        return None
    where = detail.get("where")
    where = where if isinstance(where, dict) else {}
    return Crash(
        _word(detail.get("release")),
        float(_number(detail.get("ran"))),
        int(_number(detail.get("restarts"))),
        int(_number(detail.get("memory"))),
        _word(detail.get("call")),
        _word(where.get("in") or where.get("pc")) if where.get("pc") else "",
        tuple(
            (title, "\n".join(map(str, lines)))
            for name, title in SECTIONS.items()
            if isinstance(lines := detail.get(name), list) and lines
        ),
    )


def _word(value: Any) -> str:
    return "" if value is None else str(value)[:WORD_MAX]


def _number(value: Any) -> float:
    fine = isinstance(value, int | float) and abs(value) < 1 << 53
    return value if fine else 0
