"""What a project says of the keys that sign its releases, in a reviewed file, `signing_keys.toml`:

[[key]]
public = "9f86…"              # 64 hexadecimal digits, as keys.generate prints them
use = "development"           # or "release"
expires = 2027-04-01          # the last day on which it may sign; left out where it has none
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from kos.assurance.entries import day, parse_entries
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
    entries = parse_entries(text, "key", _MEMBERS, where, bytes_max=KEYS_BYTES_MAX, entries_max=KEYS_MAX)
    found: dict[str, SigningKey] = {}
    for entry, place in entries:
        public, key = _key(entry, place)
        if public in found:
            raise AssuranceError(f"{public[:16]} is there twice", where=place)
        found[public] = key
    return found


def _key(entry: Mapping[str, Any], where: str) -> tuple[str, SigningKey]:
    public, use, expires = entry.get("public"), entry.get("use"), entry.get("expires")
    if not isinstance(public, str) or not _PUBLIC.fullmatch(public):
        raise AssuranceError("public must be 64 hexadecimal digits", where=where)
    if use not in USES:
        raise AssuranceError(f"use must be one of {', '.join(USES)}, found {use!r}", where=where)
    return public, SigningKey(use == "development", None if expires is None else day(expires, where))
