"""Secrets are told from what only looks like one."""

from __future__ import annotations

import pytest

from kos.assurance.secrets import argument_texts, is_default, named_secret, shape_of


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----",
        "key=AKIA" + "A" * 16,
        "ghp_" + "a" * 36,
        "eyJhbGciOiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "mqtts://user:hunter2@example.org",
        "SU" + "A" * 56,
    ],
)
def test_a_secret_by_its_shape(text: str):
    assert shape_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "https://example.org/a:b@c",
        "https://example.org:8080/",
        "AKIA",
        "the word password",
        "U" + "A" * 55,
    ],
)
def test_no_secret_by_its_shape(text: str):
    assert shape_of(text) is None


def test_names_and_placeholders():
    assert named_secret("mqtt_password", "hunter2")
    assert named_secret("API-KEY", "x1")
    for name, value in [
        ("password", "${PASSWORD}"),
        ("password", "$PASSWORD"),
        ("password", ""),
        ("password", "/keys/password"),
        ("password", "<from the key store>"),
        ("password_length", "12"),
        ("public_key", "abc"),
        ("password", 5),
    ]:
        assert not named_secret(name, value), (name, value)
    assert is_default("ADMIN")
    assert not is_default("correct horse")


def test_arguments_know_their_names():
    found = {(name, text) for _, name, text in argument_texts(("--api-key=x", "--password", "y", "-v", "z"))}
    assert {("api_key", "x"), ("password", "y"), ("v", "z")} <= found


@pytest.mark.parametrize("piece", ["a://" + "a" * 99, "eyJ", "-----BEGIN ", "://", "xox--", "a:b@"])
def test_no_pattern_is_searched_again_and_again(piece: str):
    # A megabyte, as much as is looked at of a file: the test's own limit ends a search that backtracks.
    shape_of(piece * ((1 << 20) // len(piece)))
