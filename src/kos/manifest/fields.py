"""Kinds of fields: each reads a value, writes it as JSON and describes itself as JSON Schema.

A table of fields (`model.py`) is the one description of a manifest: constructors, codec and published schema
all come from it. Nothing here knows what a manifest means.

`load` takes what JSON gives and what a user's Python gives alike (a list or a tuple, an already made object),
so that `App(priority="high")` in a manifest and `"priority": "high"` in a file fail with the same sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from kos.abi.hints import Any
from kos.manifest import limits
from kos.manifest.errors import ManifestError
from kos.manifest.frozen import FrozenDict, freeze, thaw
from kos.manifest.where import user_location

REQUIRED: Any = object()
_BRIEF = 60  # characters of a wrong value that an error quotes


def brief(value: object) -> str:
    """A short picture of a wrong value for an error message."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= _BRIEF else text[: _BRIEF - 1] + "…"


def wrong(path: str, expected: str, found: object) -> ManifestError:
    return ManifestError(f"{path}: expected {expected}, found {brief(found)}")


class Field:
    """One value."""

    def load(self, value: Any, path: str) -> Any:
        """The checked Python value, or `ManifestError` naming `path`."""
        raise NotImplementedError

    def dump(self, value: Any) -> Any:
        """The value as JSON."""
        return value

    def schema(self) -> dict[str, Any]:
        """The value as JSON Schema 2020-12."""
        raise NotImplementedError


class Text(Field):
    """Text of at most `longest` characters that matches the whole of `pattern`."""

    def __init__(
        self, longest: int, pattern: str = "[^\\x00]*", what: str = "text", shortest: int = 0
    ) -> None:
        self.longest, self.shortest, self.pattern, self.what = longest, shortest, pattern, what
        self._match = re.compile(pattern).fullmatch

    def load(self, value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise wrong(path, self.what, value)
        if len(value) > self.longest:
            raise ManifestError(f"{path}: {len(value)} characters are too many, at most {self.longest}")
        if len(value) < self.shortest or not self._match(value):
            raise wrong(path, f"{self.what} that matches {self.pattern}", value)
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise wrong(path, f"{self.what} in Unicode without surrogates", value)
        return value

    def schema(self) -> dict[str, Any]:
        # `$(?!\n)`: a `$` that in no dialect matches before a last new-line.
        shape: dict[str, Any] = {
            "type": "string",
            "maxLength": self.longest,
            "pattern": f"^(?:{self.pattern})$(?!\\n)",
        }
        return {**shape, "minLength": self.shortest} if self.shortest else shape


class Whole(Field):
    """A whole number from `low` to `high`."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def load(self, value: Any, path: str) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON does not tell 1.0 from 1
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise wrong(path, f"a whole number from {self.low} to {self.high}", value)
        return int(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


class Number(Field):
    """A number from `low` to `high`, kept as a float."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def load(self, value: Any, path: str) -> float:
        # NaN fails both comparisons.
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not self.low <= value <= self.high
        ):
            raise wrong(path, f"a number from {self.low:g} to {self.high:g}", value)
        return float(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


class Flag(Field):
    def load(self, value: Any, path: str) -> bool:
        if not isinstance(value, bool):
            raise wrong(path, "true or false", value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Choice(Field):
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def load(self, value: Any, path: str) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise wrong(path, "one of " + ", ".join(self.words), value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


class Nullable(Field):
    """`None`, or what the field inside says."""

    def __init__(self, inside: Field) -> None:
        self.inside = inside

    def load(self, value: Any, path: str) -> Any:
        return None if value is None else self.inside.load(value, path)

    def dump(self, value: Any) -> Any:
        return None if value is None else self.inside.dump(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "null"}, self.inside.schema()]}


class ListOf(Field):
    """A list with at most `most` items; with `unique`, none twice."""

    def __init__(self, item: Field, most: int, *, fewest: int = 0, unique: bool = False) -> None:
        self.item, self.most, self.fewest, self.unique = item, most, fewest, unique

    def load(self, value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise wrong(path, "a list", value)
        if not self.fewest <= len(value) <= self.most:
            raise ManifestError(f"{path}: {len(value)} items, expected {self.fewest} to {self.most}")
        items = tuple(self.item.load(item, f"{path}[{index}]") for index, item in enumerate(value))
        if self.unique and len(set(items)) != len(items):
            twice = next(item for item in items if items.count(item) > 1)
            raise ManifestError(f"{path}: {brief(twice)} is listed twice")
        return items

    def dump(self, value: Any) -> list[Any]:
        return [self.item.dump(item) for item in value]

    def schema(self) -> dict[str, Any]:
        shape: dict[str, Any] = {"type": "array", "items": self.item.schema(), "maxItems": self.most}
        if self.fewest:
            shape["minItems"] = self.fewest
        return {**shape, "uniqueItems": True} if self.unique else shape


class MapOf(Field):
    """A map with at most `most` entries. With `key_as`, objects inside know their key by that attribute."""

    def __init__(self, key: Text, item: Field, most: int, *, key_as: str | None = None) -> None:
        self.key, self.item, self.most, self.key_as = key, item, most, key_as

    def load(self, value: Any, path: str) -> FrozenDict[str, Any]:
        if not isinstance(value, Mapping):
            raise wrong(path, "a map", value)
        if len(value) > self.most:
            raise ManifestError(f"{path}: {len(value)} entries are too many, at most {self.most}")
        made: dict[str, Any] = {}
        for key, item in value.items():
            self.key.load(key, f"{path}: name")
            inside = f"{path}.{key}"
            if self.key_as and isinstance(self.item, Record):
                made[key] = self.item.load(item, inside, **{self.key_as: key})
            else:
                made[key] = self.item.load(item, inside)
        return FrozenDict(made)

    def dump(self, value: Any) -> dict[str, Any]:
        return {key: self.item.dump(item) for key, item in value.items()}

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": self.key.schema(),
            "additionalProperties": self.item.schema(),
            "maxProperties": self.most,
        }


class Member:
    """A named field of a `Record`. With `omit`, the default is not written."""

    def __init__(self, field: Field, default: Any = REQUIRED, *, omit: bool = False) -> None:
        self.field, self.default, self.omit = field, default, omit


class Record(Field):
    """An object with exactly the members named; `make` builds it, with attributes of the same names."""

    def __init__(
        self, make: Callable[..., Any], members: dict[str, Member], tag: tuple[str, str] | None = None
    ):
        self.make, self.members, self.tag = make, members, tag

    def load(self, value: Any, path: str, **more: Any) -> Any:
        if isinstance(self.make, type) and isinstance(value, self.make):
            return value
        if not isinstance(value, Mapping):
            raise wrong(path, "an object", value)
        known = {*self.members, self.tag[0]} if self.tag else self.members
        for key in value:
            if key not in known:
                raise ManifestError(
                    f"{path}: unknown key {brief(key)}", hint="known: " + ", ".join(sorted(known))
                )
        found = {}
        for name, member in self.members.items():
            if name in value:
                found[name] = member.field.load(value[name], f"{path}.{name}")
            elif member.default is REQUIRED:
                raise ManifestError(f"{path}: {name} is missing")
        return self.make(**more, **found)

    def dump(self, value: Any) -> dict[str, Any]:
        out: dict[str, Any] = {self.tag[0]: self.tag[1]} if self.tag else {}
        for name, member in self.members.items():
            item = getattr(value, name)
            if not (member.omit and item == member.default):
                out[name] = member.field.dump(item)
        return out

    def check(self, made: Any, path: str) -> None:
        """Check and normalise each attribute of a frozen object: the whole of its `__post_init__`.

        An error says the line of the user's manifest that made the object.
        """
        for name, member in self.members.items():
            value = getattr(made, name)
            try:
                checked = member.field.load(value, f"{path}.{name}")
            except ManifestError as error:
                raise ManifestError(
                    error.message, where=error.where or user_location(), hint=error.hint
                ) from None
            object.__setattr__(made, name, checked)

    def schema(self) -> dict[str, Any]:
        properties = {name: member.field.schema() for name, member in self.members.items()}
        required = [name for name, member in self.members.items() if member.default is REQUIRED]
        if self.tag:
            properties = {self.tag[0]: {"const": self.tag[1]}, **properties}
            required = [self.tag[0], *required]
        return {
            "type": "object",
            "properties": properties,
            "required": sorted(required),
            "additionalProperties": False,
        }


class OneOf(Field):
    """One of several records, told apart by a key and, where records share its value, by their members."""

    def __init__(self, key: str, records: list[Record]) -> None:
        self.key, self.records = key, records

    def load(self, value: Any, path: str) -> Any:
        for record in self.records:
            if isinstance(record.make, type) and isinstance(value, record.make):
                return value
        words = sorted({record.tag[1] for record in self.records if record.tag})
        if not isinstance(value, Mapping):
            raise wrong(path, f"an object with {self.key}: " + ", ".join(words), value)
        tagged = [record for record in self.records if record.tag and record.tag[1] == value.get(self.key)]
        if not tagged:
            raise wrong(f"{path}.{self.key}", "one of " + ", ".join(words), value.get(self.key))
        fits = [r for r in tagged if all(n in value for n, m in r.members.items() if m.default is REQUIRED)]
        return (fits or tagged)[0].load(value, path)

    def dump(self, value: Any) -> Any:
        for record in self.records:
            if isinstance(value, record.make):  # type: ignore[arg-type]
                return record.dump(value)
        raise TypeError(f"no record for {type(value).__name__}")

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [record.schema() for record in self.records]}


class Json(Field):
    """An object of any shape within limits: data that belongs to an app and that KOS only carries."""

    def load(self, value: Any, path: str) -> FrozenDict[str, Any]:
        if not isinstance(value, Mapping):
            raise wrong(path, "a map", value)
        self._check(value, path, limits.CONFIG_DEPTH_MAX)
        return freeze(value)

    def _check(self, value: Any, path: str, depth: int) -> None:
        if depth == 0:
            raise ManifestError(f"{path}: nested too deep, at most {limits.CONFIG_DEPTH_MAX} levels")
        if isinstance(value, str):
            Text(limits.CONFIG_TEXT_MAX, "(?s:.*)").load(value, path)
        elif isinstance(value, Mapping):
            if len(value) > limits.CONFIG_KEYS_MAX:
                raise ManifestError(
                    f"{path}: {len(value)} keys are too many, at most {limits.CONFIG_KEYS_MAX}"
                )
            for key, item in value.items():
                Text(limits.CONFIG_KEY_MAX, "(?s:.*)", "a name").load(key, f"{path}: name")
                self._check(item, f"{path}.{key}", depth - 1)
        elif isinstance(value, list | tuple):
            if len(value) > limits.CONFIG_ITEMS_MAX:
                raise ManifestError(
                    f"{path}: {len(value)} items are too many, at most {limits.CONFIG_ITEMS_MAX}"
                )
            for index, item in enumerate(value):
                self._check(item, f"{path}[{index}]", depth - 1)
        elif isinstance(value, int | float):
            if not (math.isfinite(value) and abs(value) <= limits.WHOLE_MAX):
                raise wrong(path, f"a number of at most {limits.WHOLE_MAX} in size", value)
        elif value is not None:
            raise wrong(path, "text, a number, true, false, null, a list or a map", value)

    def dump(self, value: Any) -> Any:
        return thaw(value)

    def schema(self) -> dict[str, Any]:
        return {"$ref": "#/$defs/config"}


def json_definition() -> dict[str, Any]:
    """The `$defs` that `Json.schema` refers to. Depth is the one limit that a schema cannot say."""
    value = {
        "anyOf": [
            {"type": ["null", "boolean"]},
            {"type": "number", "minimum": -limits.WHOLE_MAX, "maximum": limits.WHOLE_MAX},
            {"type": "string", "maxLength": limits.CONFIG_TEXT_MAX},
            {"type": "array", "maxItems": limits.CONFIG_ITEMS_MAX, "items": {"$ref": "#/$defs/value"}},
            {"$ref": "#/$defs/config"},
        ]
    }
    config = {
        "type": "object",
        "maxProperties": limits.CONFIG_KEYS_MAX,
        "propertyNames": {"maxLength": limits.CONFIG_KEY_MAX},
        "additionalProperties": {"$ref": "#/$defs/value"},
    }
    return {"value": value, "config": config}
