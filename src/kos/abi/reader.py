"""Checked fields out of a JSON object that came from outside. Pure; knows no document by name."""

from __future__ import annotations

import math
import re

from kos.abi.errors import KosError
from kos.abi.hints import Any

TEXT_MAX = 4096  # characters of a text without a limit of its own
INTEGER_MAX = 1 << 53  # what every JSON reader keeps exact

DIGEST = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
SERIES = re.compile(r"[A-Za-z0-9_.\-/]{1,96}")


class Reader:
    """Takes checked fields out of a JSON object; each error names the document and the key."""

    def __init__(self, document: str, data: Any) -> None:
        if not isinstance(data, dict):
            raise KosError(f"{document}: expected an object, found {type(data).__name__}")
        self.document = document
        self.data: dict[str, Any] = data

    def fail(self, key: str, expected: str) -> KosError:
        found = repr(self.data.get(key))
        return KosError(f"{self.document}: {key!r} must be {expected}, found {found[:60]}")

    def text(self, key: str, default: str | None = None, limit: int = TEXT_MAX) -> str:
        value = self.data.get(key, default)
        if not isinstance(value, str) or len(value) > limit:
            raise self.fail(key, f"text of at most {limit} characters")
        return clean(value)

    def pattern(self, key: str, pattern: re.Pattern[str], what: str) -> str:
        value = self.data.get(key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.fail(key, what)
        return value

    def digest(self, key: str) -> str:
        return self.pattern(key, DIGEST, "a SHA-256 in hex")

    def digest_or_none(self, key: str) -> str | None:
        return None if self.data.get(key) is None else self.digest(key)

    def name(self, key: str) -> str:
        return self.pattern(key, NAME, "a name")

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.data.get(key)
        if value not in choices:
            raise self.fail(key, "one of " + ", ".join(choices))
        return str(value)

    def integer(self, key: str, default: int | None = None, low: int = 0, high: int = INTEGER_MAX) -> int:
        value = self.data.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.fail(key, f"an integer from {low} to {high}")
        return value

    def number(self, key: str, default: float | None, low: float, high: float) -> float:
        value = self.data.get(key, default)
        if not is_number(value) or not low <= value <= high:
            raise self.fail(key, f"a number from {low} to {high}")
        return float(value)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        value = self.data.get(key, default)
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def sequence(self, key: str, limit: int) -> list[Any]:
        value = self.data.get(key, [])
        if not isinstance(value, list) or len(value) > limit:
            raise self.fail(key, f"a list of at most {limit}")
        return value

    def mapping(self, key: str, limit: int) -> dict[str, Any]:
        value = self.data.get(key, {})
        if not isinstance(value, dict) or len(value) > limit:
            raise self.fail(key, f"an object of at most {limit} keys")
        return value


def is_number(value: Any) -> bool:
    """A finite JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def clean(text: str) -> str:
    """Text that every database takes: without NUL and without half of a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
