"""The little language that selects devices: `tag:lab platform:host online:true name:pump*`.

Terms are joined by "and"; a leading `-` means "not". Parsing is pure; `matching` makes SQL of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, String, cast, func, not_, select, true

from kos.abi.errors import KosError
from kos.server.core.db.models import Device
from kos.server.core.devices.identity import STATUSES

QUERY_MAX = 512  # characters
TERMS_MAX = 16
TAG = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
FIELDS = ("tag", "name", "id", "platform", "system", "status", "online", "healthy", "release", "update")
_TERM = re.compile(r"(-?)([a-z]+):(\S+)")


@dataclass(frozen=True)
class Term:
    field: str
    value: str
    negated: bool = False


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a query; "" and "*" mean every device."""
    if len(text) > QUERY_MAX:
        raise KosError(f"a query has at most {QUERY_MAX} characters")
    terms = []
    for word in text.split():
        if word == "*":
            continue
        found = _TERM.fullmatch(word)
        if found is None:
            word, found = f"name:*{word}*", _TERM.fullmatch(f"name:*{word}*")
        assert found is not None
        negated, field, value = found.groups()
        if field not in FIELDS:
            raise KosError(f"no such field in a query: {field!r}", hint="one of " + ", ".join(FIELDS))
        if field in ("online", "healthy") and value not in ("true", "false"):
            raise KosError(f"{field} is true or false, found {value!r}")
        if field == "status" and value not in STATUSES:
            raise KosError(f"no such status: {value!r}", hint="one of " + ", ".join(STATUSES))
        if field == "tag" and not TAG.fullmatch(value):
            raise KosError(f"not a tag: {value!r}")
        terms.append(Term(field, value, bool(negated)))
    if len(terms) > TERMS_MAX:
        raise KosError(f"a query has at most {TERMS_MAX} terms")
    return tuple(terms)


def matching(organisation_id: int, *queries: str) -> Select[tuple[Device]]:
    """All devices of an organisation that match every one of the queries."""
    chosen = select(Device).where(Device.organisation_id == organisation_id)
    for query in queries:
        for term in parse(query):
            condition = _condition(term)
            chosen = chosen.where(not_(condition) if term.negated else condition)
    return chosen


def _condition(term: Term) -> ColumnElement[bool]:
    match term.field:
        case "tag":
            # Tags are a JSON list of plain names, so the quoted name occurs exactly where the tag is.
            return cast(Device.tags, String).like(f'%"{_escape(term.value)}"%', escape="\\")
        case "online":
            return Device.online == (term.value == "true")
        case "healthy":
            return Device.healthy == (term.value == "true")
        case "release":
            return Device.running.like(_escape(term.value) + "%", escape="\\")
        case "id":
            return Device.id.like(_escape(term.value) + "%", escape="\\")
        case "update":
            return Device.update_state == term.value
        case "status":
            return Device.status == term.value
        case "name" | "platform" | "system":
            pattern = _escape(term.value).replace("*", "%")
            return func.lower(getattr(Device, term.field)).like(pattern.lower(), escape="\\")
    return true()


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
