"""A project's settings: `config.toml`, and what the environment says instead.

`KOS_CONFIG_<SECTION>__<KEY>` overrides `key` in `[section]`; more `__` go into tables inside. Its text is
read as a TOML value where it is one (`5`, `true`, `["a"]`), else as text. `load.py` opens the files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

from kos.abi.hints import Any, TypeVar
from kos.manifest import limits
from kos.manifest.errors import ManifestError
from kos.manifest.fields import brief
from kos.manifest.frozen import FrozenDict, freeze

PREFIX = "KOS_CONFIG_"
# The reference's own names for two settings.
ALIASES = {
    "TUNNEL_PEER_ENDPOINT": f"{PREFIX}TUNNEL__PEER_ENDPOINT",
    "TUNNEL_PEER_KEY": f"{PREFIX}TUNNEL__PEER_PUBLIC_KEY",
}
_MISSING: Any = object()
T = TypeVar("T")


class Config:
    """Settings by section and key, read with the type that the reader expects.

    Each reader raises `ManifestError` naming file and key when the value is missing without a default or has
    another type. A key in a table inside a section is written `section.table`, `key`.
    """

    def __init__(self, values: Mapping[str, Any] | None = None, where: str = "config.toml") -> None:
        self._values: FrozenDict[str, Any] = freeze(values or {})
        self._where = where
        self._overrides: dict[tuple[str, ...], str] = {}

    @classmethod
    def parse(
        cls, text: str, environment: Mapping[str, str] | None = None, where: str = "config.toml"
    ) -> Config:
        """Settings from TOML text and from those variables of `environment` that override them."""
        if len(text) > limits.PROJECT_CONFIG_BYTES_MAX:
            raise ManifestError(
                f"{len(text)} characters are too many, at most {limits.PROJECT_CONFIG_BYTES_MAX}", where=where
            )
        try:
            values = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ManifestError(f"not TOML: {error}", where=where) from None
        config = cls(values, where)
        for variable, value in sorted((environment or {}).items()):
            variable = ALIASES.get(variable, variable)
            if variable.startswith(PREFIX):
                config._override(variable, value)
        return config

    def _override(self, variable: str, value: str) -> None:
        parts = tuple(variable.removeprefix(PREFIX).lower().split("__"))
        if len(parts) < 2 or len(parts) > limits.PROJECT_CONFIG_DEPTH_MAX or not all(parts):
            raise ManifestError(f"{variable}: expected {PREFIX}<SECTION>__<KEY>", where="environment")
        if len(value) > limits.CONFIG_TEXT_MAX:
            raise ManifestError(
                f"{variable}: {len(value)} characters, at most {limits.CONFIG_TEXT_MAX}", where="environment"
            )
        self._values = _with(self._values, parts, _value(value), variable)
        self._overrides[parts] = variable

    def section(self, section: str) -> FrozenDict[str, Any]:
        """All of a section, empty where there is none."""
        found: Any = self._values
        for part in section.split("."):
            found = found.get(part, FrozenDict())
            if not isinstance(found, FrozenDict):
                raise ManifestError(f"[{section}] must be a table", where=self._where)
        return found

    def text(self, section: str, key: str, default: str = _MISSING) -> str:
        return self._read(section, key, default, str, "text")

    def whole(self, section: str, key: str, default: int = _MISSING) -> int:
        return self._read(section, key, default, int, "a whole number")

    def number(self, section: str, key: str, default: float = _MISSING) -> float:
        return float(self._read(section, key, default, (int, float), "a number"))

    def flag(self, section: str, key: str, default: bool = _MISSING) -> bool:
        return self._read(section, key, default, bool, "true or false")

    def items(self, section: str, key: str, default: tuple[Any, ...] = _MISSING) -> tuple[Any, ...]:
        return self._read(section, key, default, tuple, "a list")

    def _read(self, section: str, key: str, default: T, kind: Any, expected: str) -> T:
        value = self.section(section).get(key, default)
        variable = self._overrides.get((*section.split("."), key))
        where = "environment" if variable else self._where
        name = variable or f"[{section}] {key}"
        if value is _MISSING:
            override = f"{PREFIX}{section.replace('.', '__').upper()}__{key.upper()}"
            raise ManifestError(
                f"{name} is missing, expected {expected}", where=where, hint=f"or set {override}"
            )
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ManifestError(f"{name}: expected {expected}, found {brief(value)}", where=where)
        return value


def _with(
    values: FrozenDict[str, Any], parts: tuple[str, ...], value: Any, variable: str
) -> FrozenDict[str, Any]:
    head, *rest = parts
    if not rest:
        return values.with_item(head, value)
    inside = values.get(head, FrozenDict())
    if not isinstance(inside, FrozenDict):
        raise ManifestError(f"{variable}: {head} is a value, not a table", where="environment")
    return values.with_item(head, _with(inside, tuple(rest), value, variable))


def _value(text: str) -> Any:
    try:
        made = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return freeze(made["value"]) if made.keys() == {"value"} else text
