"""The little language that selects devices: `tag:lab platform:host online:true name:"pump 7*"`.

Terms are joined by "and"; a leading `-` means "not". A value with spaces stands in quotation marks, in which
`\\` makes the next character plain. Parsing is pure; `matching` makes SQL of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, String, cast, func, not_, select, true

from kos.abi.errors import KosError
from kos.server.core.db.models import Device
from kos.server.core.devices.identity import STATUSES

QUERY_MAX = 512  # characters
TERMS_MAX = 16
TAG = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
FIELDS = ("tag", "name", "id", "platform", "system", "status", "online", "healthy", "release", "update")
_TERM = re.compile(
    r"""(?:(?P<negated>-?)(?P<field>[a-z]+):)?"(?P<quoted>(?:[^"\\]|\\.)*)"(?!\S)
      | (?P<not>-?)(?P<of>[a-z]+):(?P<value>[^\s"]\S*)
      | (?P<word>\S+)""",
    re.VERBOSE | re.DOTALL,
)


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
    for negated, field, value in _terms(text):
        if field not in FIELDS:
            raise KosError(f"no such field in a query: {field!r}", hint="one of " + ", ".join(FIELDS))
        if field in ("online", "healthy") and value not in ("true", "false"):
            raise KosError(f"{field} is true or false, found {value!r}")
        if field == "status" and value not in STATUSES:
            raise KosError(f"no such status: {value!r}", hint="one of " + ", ".join(STATUSES))
        if field == "tag" and not TAG.fullmatch(value):
            raise KosError(f"not a tag: {value!r}")
        terms.append(Term(field, value, negated))
    if len(terms) > TERMS_MAX:
        raise KosError(f"a query has at most {TERMS_MAX} terms")
    return tuple(terms)


def _terms(text: str) -> Iterator[tuple[bool, str, str]]:
    """Whether each term is negated, its field, its value; a word alone is a part of a name."""
    for found in _TERM.finditer(text):
        if (word := found["word"]) is not None:
            if '"' in (word[:1], word.partition(":")[2][:1]):
                raise KosError("a quotation mark is not closed", where=word, hint='such as name:"pump 7"')
            if word != "*":
                yield False, "name", f"*{word}*"
        elif (quoted := found["quoted"]) is not None:
            plain = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            field = found["field"]
            yield bool(found["negated"]), field or "name", plain if field else f"*{plain}*"
        else:
            yield bool(found["not"]), found["of"], found["value"]


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
