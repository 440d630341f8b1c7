"""Reviewed files beside a system: TOML that holds entries of one kind, `[[name]]`, and nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Set
from datetime import date, datetime
from typing import Any

from kos.assurance.errors import AssuranceError


def parse_entries(
    text: str, name: str, members: Set[str], where: str, *, bytes_max: int, entries_max: int
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each entry of a file, which has no other members than those, and its place.

    Raises:
        AssuranceError: not TOML, something else, an unknown member, too much of anything.
    """
    if len(text) > bytes_max:
        raise AssuranceError(f"{len(text)} characters are too many, at most {bytes_max}", where=where)
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise AssuranceError(f"not TOML: {error}", where=where) from None
    entries = table.get(name, [])
    if table.keys() - {name} or not isinstance(entries, list):
        raise AssuranceError(f"expected only [[{name}]] entries", where=where)
    if len(entries) > entries_max:
        raise AssuranceError(f"{len(entries)} {name}s are too many, at most {entries_max}", where=where)
    for number, entry in enumerate(entries, 1):
        place = f"{where}: {name} {number}"
        if not isinstance(entry, Mapping):
            raise AssuranceError("expected a table", where=place)
        if unknown := sorted(entry.keys() - members):
            known = ", ".join(sorted(members))
            raise AssuranceError(f"unknown key {unknown[0]!r}", where=place, hint=f"known: {known}")
        yield entry, place


def day(value: Any, where: str) -> date:
    """The last day of an entry. Raises AssuranceError when it is none."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise AssuranceError("expires must be a day such as 2027-04-01, without quotes", where=where)
    return value
