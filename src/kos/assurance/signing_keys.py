"""What a project says of the keys that sign its releases, in a reviewed file, `signing_keys.toml`:

[[key]]
public = "9f86…"              # 64 hexadecimal digits, as keys.generate prints them
use = "development"           # or "release"
expires = 2027-04-01          # the last day on which it may sign; left out where it has none
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from kos.assurance.errors import AssuranceError

KEYS_MAX = 64
KEYS_BYTES_MAX = 64 << 10
USES = ("development", "release")
_MEMBERS = {"public", "use", "expires"}
_PUBLIC = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SigningKey:
    """What is known of one key.

    Attributes:
        development: it lies on developers' machines; what it signs is no release.
        expires: the last day on which it may sign; None where it has none.
    """

    development: bool
    expires: date | None = None


def parse_signing_keys(text: str, where: str = "signing_keys.toml") -> dict[str, SigningKey]:
    """Public key in hexadecimal → what is known of it.

    Raises:
        AssuranceError: not TOML, an unknown member, a missing part, a key twice, too much of anything.
    """
    if len(text) > KEYS_BYTES_MAX:
        raise AssuranceError(f"{len(text)} characters are too many, at most {KEYS_BYTES_MAX}", where=where)
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise AssuranceError(f"not TOML: {error}", where=where) from None
    entries = table.get("key", [])
    if table.keys() - {"key"} or not isinstance(entries, list):
        raise AssuranceError("expected only [[key]] entries", where=where)
    if len(entries) > KEYS_MAX:
        raise AssuranceError(f"{len(entries)} keys are too many, at most {KEYS_MAX}", where=where)
    found: dict[str, SigningKey] = {}
    for number, entry in enumerate(entries, 1):
        public, key = _key(entry, f"{where}: key {number}")
        if public in found:
            raise AssuranceError(f"{public[:16]} is there twice", where=f"{where}: key {number}")
        found[public] = key
    return found


def _key(entry: Any, where: str) -> tuple[str, SigningKey]:
    if not isinstance(entry, Mapping):
        raise AssuranceError("expected a table", where=where)
    if unknown := sorted(entry.keys() - _MEMBERS):
        raise AssuranceError(
            f"unknown key {unknown[0]!r}", where=where, hint="known: " + ", ".join(sorted(_MEMBERS))
        )
    public, use, expires = entry.get("public"), entry.get("use"), entry.get("expires")
    if not isinstance(public, str) or not _PUBLIC.fullmatch(public):
        raise AssuranceError("public must be 64 hexadecimal digits", where=where)
    if use not in USES:
        raise AssuranceError(f"use must be one of {', '.join(USES)}, found {use!r}", where=where)
    if expires is not None and (not isinstance(expires, date) or isinstance(expires, datetime)):
        raise AssuranceError("expires must be a day such as 2027-04-01, without quotes", where=where)
    return public, SigningKey(use == "development", expires)
