"""The waiver file: what it must say, and how a wrong one is refused."""

from __future__ import annotations

from datetime import date

import pytest

from kos.assurance import AssuranceError, parse_waivers, rule_ids
from kos.assurance.waivers import WAIVER_BYTES_MAX, WAIVER_TEXT_MAX, WAIVERS_MAX

ENTRY = """
[[waiver]]
rule = "sensitive-port"
app = "vault"
owner = "Ada Lovelace"
reason = "the mediator"
expires = 2027-04-01
"""


def test_a_waiver_is_read():
    (waiver,) = parse_waivers(ENTRY, rule_ids())
    assert (waiver.rule, waiver.app, waiver.expires) == ("sensitive-port", "vault", date(2027, 4, 1))
    assert not waiver.expired(date(2027, 4, 1))
    assert waiver.expired(date(2027, 4, 2))
    assert parse_waivers("", rule_ids()) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not TOML"),
        ("waivers = 1", "expected only"),
        ("waiver = 1", "expected only"),
        ("waiver = [1]", "waiver 1: expected a table"),
        (ENTRY + "colour = 1", "unknown key 'colour'"),
        (ENTRY.replace('"sensitive-port"', '"no-such"'), "there is no rule 'no-such'"),
        (ENTRY.replace('owner = "Ada Lovelace"\n', ""), "owner must be text"),
        (ENTRY.replace('"the mediator"', '" "'), "reason must be text"),
        (ENTRY.replace("the mediator", "x" * (WAIVER_TEXT_MAX + 1)), "reason must be text of 1 to 2000"),
        (ENTRY.replace("2027-04-01", '"2027-04-01"'), "expires must be a day"),
        (ENTRY.replace("2027-04-01", "2027-04-01T00:00:00"), "expires must be a day"),
        (ENTRY.replace('"vault"', "1"), "app must be an app's name"),
        (ENTRY * (WAIVERS_MAX + 1), "257 waivers are too many"),
        ("#" * (WAIVER_BYTES_MAX + 1), "characters are too many"),
    ],
)
def test_a_wrong_file_is_refused(text: str, message: str):
    with pytest.raises(AssuranceError, match=message) as caught:
        parse_waivers(text, rule_ids(), where="waivers.toml")
    assert caught.value.where.startswith("waivers.toml")
