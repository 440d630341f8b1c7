"""The two ends of a shell's stream in one place: JSON objects, a line each. No I/O.

Used by whoever reads a shell; an app's own end is `kos.app.shell`.
"""

from __future__ import annotations

import json

from kos.abi.errors import KosError
from kos.abi.hints import Any

LINE_MAX = 4 << 20  # bytes of one object from an app, which may print a lot at once


def wish(**members: Any) -> bytes:
    """An object for the app: run, complete or interrupt."""
    return json.dumps(members).encode() + b"\n"


class Lines:
    """Bytes from the app, and the objects in them."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The objects that are complete now. Raises KosError for what is none: it is the app's own word."""
        self._rest += data
        found = []
        while (end := self._rest.find(b"\n")) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise KosError("the app does not speak as a shell does") from error
            if not isinstance(value, dict):
                raise KosError("the app does not speak as a shell does")
            found.append(value)
        if len(self._rest) > LINE_MAX:
            raise KosError(f"the app sent a line of over {LINE_MAX} bytes")
        return found
