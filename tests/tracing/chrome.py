"""What "Trace Event Format" asks of a file, so that Perfetto and chrome://tracing show all of it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import jsonschema

_EVENT = {
    "type": "object",
    "required": ["ph", "name", "pid"],
    "properties": {
        "ph": {"enum": ["X", "B", "i", "s", "f", "C", "M"]},
        "name": {"type": "string", "minLength": 1},
        "cat": {"type": "string"},
        "pid": {"type": "integer", "minimum": 1},
        "tid": {"type": "integer", "minimum": 0},
        "ts": {"type": "number", "minimum": 0},
        "dur": {"type": "number", "exclusiveMinimum": 0},
        "id": {"type": "integer"},
        "bp": {"const": "e"},
        "s": {"enum": ["t", "p", "g"]},
        "args": {"type": "object"},
    },
    "additionalProperties": False,
    "allOf": [
        {"if": {"properties": {"ph": {"const": ph}}}, "then": {"required": required}}
        for ph, required in {
            "X": ["ts", "dur", "tid", "cat"],
            "B": ["ts", "tid"],
            "i": ["ts", "s"],
            "s": ["ts", "tid", "id", "cat"],
            "f": ["ts", "tid", "id", "cat", "bp"],
            "C": ["ts", "args"],
            "M": ["args"],
        }.items()
    ],
}
SCHEMA = {
    "type": "object",
    "required": ["traceEvents"],
    "properties": {"traceEvents": {"type": "array", "items": _EVENT}},
}


def check_document(document: Any) -> None:
    """Fails with the first event that the format does not allow.

    Beside the form: each process and thread is introduced; each arrow has one beginning and one end, which is
    not earlier; slices of one thread lie inside each other or apart.
    """
    validator = jsonschema.Draft202012Validator(SCHEMA)
    mistake = next(validator.iter_errors(document), None)
    assert mistake is None, f"{mistake.message} at {list(mistake.absolute_path)}"
    events = document["traceEvents"]
    introduced = {
        (one["name"], one["pid"], one["tid"] * (one["name"] == "thread_name"))
        for one in events
        if one["ph"] == "M"
    }
    slices: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    arrows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        assert ("process_name", event["pid"], 0) in introduced, event
        if event["ph"] == "X":
            place = (event["pid"], event["tid"])
            assert event["tid"] == 0 or ("thread_name", *place) in introduced, event
            slices[place].append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] in "sf":
            arrows[event["id"]].append(event)
    for number, ends in arrows.items():
        assert sorted(one["ph"] for one in ends) == ["f", "s"], f"arrow {number}: {ends}"
        begin, end = sorted(ends, key=lambda one: one["ph"], reverse=True)
        assert begin["ts"] <= end["ts"], f"arrow {number} goes back in time"
    for place, spans in slices.items():
        open_until: list[float] = []
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            assert not open_until or end <= open_until[-1] + 0.5, f"slices of {place} overlap at {begin}"
            open_until.append(end)
