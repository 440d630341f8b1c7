"""What a project says of its signing keys is checked before it is believed."""

from __future__ import annotations

from datetime import date

import pytest

from kos.assurance import AssuranceError
from kos.assurance.signing_keys import KEYS_BYTES_MAX, KEYS_MAX, SigningKey, parse_signing_keys

KEY = "a" * 64


def entry(public: str = KEY, use: str = "release", more: str = "") -> str:
    return f'[[key]]\npublic = "{public}"\nuse = "{use}"\n{more}\n'


def test_keys_are_read():
    text = entry() + entry("b" * 64, "development", "expires = 2027-04-01")
    assert parse_signing_keys(text) == {
        KEY: SigningKey(development=False),
        "b" * 64: SigningKey(development=True, expires=date(2027, 4, 1)),
    }
    assert parse_signing_keys("") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key = 1", "only .* entries"),
        ("other = 1", "only .* entries"),
        ("key = [1]", "expected a table"),
        ("[[key", "not TOML"),
        (entry("xyz"), "64 hexadecimal digits"),
        (entry(use="home"), "use must be one of development, release"),
        (entry(more="owner = 'me'"), "unknown key 'owner'"),
        (entry(more="expires = '2027-04-01'"), "expires must be a day"),
        (entry(more="expires = 2027-04-01T10:00:00"), "expires must be a day"),
        (entry() + entry(), "is there twice"),
        ("".join(entry(f"{number:064x}") for number in range(KEYS_MAX + 1)), "65 keys are too many"),
        ("#" * (KEYS_BYTES_MAX + 1), "characters are too many"),
    ],
)
def test_wrong_files_are_refused(text: str, message: str):
    with pytest.raises(AssuranceError, match=message):
        parse_signing_keys(text)
