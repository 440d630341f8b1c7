"""A status document comes from a machine that may be compromised: it is checked before it is believed."""

from __future__ import annotations

import pytest

from kos.assurance import AssuranceError
from kos.assurance.running import CALLS_MAX, ITEMS_MAX, parse_status
from tests.assurance.world import clean


def test_a_status_document_is_read():
    facts = parse_status(clean().running)
    assert facts.apps["sensor"].seccomp == "filter"
    assert facts.apps["sensor"].descriptors[0].kind == "null"
    assert parse_status({"apps": {}}).apps == {}


def app(**changes: object) -> dict:
    return {
        "apps": {"a": {"uid": 1, "capabilities": 0, "no_new_privs": True, "seccomp": "filter", **changes}}
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "status: expected an object"),
        ({}, "apps is missing"),
        ({"apps": {}, "x": 1}, "unknown key 'x'"),
        (app(uid=-1), "status.apps.a.uid"),
        (app(uid="root"), "status.apps.a.uid"),
        (app(seccomp="off"), "one of none, strict, filter"),
        (app(filter="abc"), "SHA-256"),
        (app(descriptors=[{"fd": 1}]), "kind is missing"),
        (app(allowed=["read"] * (CALLS_MAX + 1)), "1025 items"),
        (app(writable=["/x"] * (ITEMS_MAX + 1)), "65537 items"),
        (app(writable=["/" + "x" * 4096]), "4097 characters"),
        (app(capabilities=1 << 64), "capabilities"),
    ],
)
def test_a_wrong_document_is_refused(value: object, message: str):
    with pytest.raises(AssuranceError, match=message):
        parse_status(value)
