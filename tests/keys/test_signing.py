"""Signatures of manifests: what they cover, and what is refused."""

import json

import pytest

from kos.abi.errors import KosError
from kos.keys import signing

KEY = bytes(range(32))
# The public key of KEY by RFC 8032's own procedure, from the `cryptography` package's Ed25519 and OpenSSL
# alike.
PUBLIC = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"


def test_a_signature_says_who_signed():
    assert signing.verify(signing.sign(b"manifest", KEY), b"manifest") == PUBLIC


def test_it_is_of_these_bytes_and_of_manifests_only():
    document = signing.sign(b"manifest", KEY)
    with pytest.raises(KosError, match="not of this manifest"):
        signing.verify(document, b"manifesT")


@pytest.mark.parametrize(
    ("member", "value"),
    [("key", "00"), ("key", 5), ("signature", "zz"), ("signature", None), ("format", "x"), ("version", 2)],
)
def test_a_spoilt_document_is_refused(member, value):
    fields = json.loads(signing.sign(b"manifest", KEY)) | {member: value}
    with pytest.raises(KosError):
        signing.verify(json.dumps(fields).encode(), b"manifest")


def test_a_document_over_the_limit_is_refused():
    document = signing.sign(b"manifest", KEY)
    signing.verify(document.ljust(signing.DOCUMENT_MAX), b"manifest")
    with pytest.raises(KosError, match="at most"):
        signing.verify(document.ljust(signing.DOCUMENT_MAX + 1), b"manifest")


def test_a_trust_document_reads_back():
    trust = signing.Trust(frozenset([PUBLIC]), 1)
    assert signing.load_trust(trust.dump(), "here") == trust


@pytest.mark.parametrize("threshold", [0, 2, True, "1"])
def test_a_threshold_that_cannot_be_reached_is_refused(threshold):
    fields = json.loads(signing.Trust(frozenset([PUBLIC])).dump()) | {"threshold": threshold}
    with pytest.raises(KosError, match="threshold"):
        signing.load_trust(json.dumps(fields).encode(), "here")
