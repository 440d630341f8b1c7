"""An answer: lines of words, each with the path that proves it, and a drawing of those paths."""

from __future__ import annotations

import json
from dataclasses import dataclass

from kos.assurance.errors import AssuranceError
from kos.assurance.query.draw import draw

KINDS = ("text", "json", "svg")
LOST = "authority lost"


@dataclass(frozen=True)
class Line:
    """One statement.

    Attributes:
        text: in words, without a full stop.
        subject: the app, port or key that it is about.
        path: names and ports in turn, from who to what: ("sensor", "weather_protocol", "station"); or empty.
        group: the heading under which it belongs.
    """

    text: str
    subject: str
    path: tuple[str, ...] = ()
    group: str = ""

    def proof(self) -> str:
        """The path as one line of text."""
        steps = [f" —{name}→ " if index % 2 else name for index, name in enumerate(self.path)]
        return "".join(steps)


@dataclass(frozen=True)
class Answer:
    """The answer to one question."""

    question: str
    lines: tuple[Line, ...]

    def render(self, kind: str = "text") -> str:
        """The answer as `text`, `json` or `svg`."""
        if kind == "text":
            return self._text()
        if kind == "json":
            return self._json()
        if kind == "svg":
            shown = [line for line in self.lines if line.path]
            lost = {line.path for line in shown if line.group == LOST}
            return draw([line.path for line in shown], self.question, lost)
        raise AssuranceError(f"there is no answer as {kind!r}", hint="known: " + ", ".join(KINDS))

    def _text(self) -> str:
        out = [self.question]
        group = ""
        for line in self.lines:
            if line.group != group:
                group = line.group
                out.append(f"{group}:")
            out.append(f"  {line.text}")
            if len(line.path) > 3:
                out.append(f"    {line.proof()}")
        return "\n".join([*out, *(["  nothing"] if not self.lines else [])]) + "\n"

    def _json(self) -> str:
        lines = [
            {"text": line.text, "subject": line.subject, "path": list(line.path), "group": line.group}
            for line in self.lines
        ]
        return json.dumps({"question": self.question, "lines": lines}, indent=2, ensure_ascii=False) + "\n"
