"""What a device refuses before anything is touched."""

from dataclasses import replace

import pytest

from kos.abi.errors import KosError
from kos.device.upgrade.check import SPARE, Facts, check, older
from kos.keys import signing
from kos.manifest import Context, codec
from kos.manifest.model import SystemPart

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def manifest(release="1.0.0", **options):
    return Context("test", release=release).set_kos_options(**options).manifest()


def trust(*keys, threshold=1):
    return signing.Trust(frozenset(signing.verify(signing.sign(b"", key), b"") for key in keys), threshold)


def offered(new, keys=(KEY,), missing=0, **facts):
    document = codec.dump(new)
    signatures = {f"k{n}": signing.sign(document, key) for n, key in enumerate(keys)}
    defaults = Facts(manifest(), trust(KEY), 1 << 30)
    check(new, document, signatures, missing, replace(defaults, **facts))


def test_a_signed_newer_release_is_taken():
    offered(manifest("1.0.1"))


@pytest.mark.parametrize(
    ("new", "how", "words"),
    [
        (manifest("1.1.0"), {"keys": ()}, "not signed"),
        (manifest("1.1.0"), {"keys": (OTHER,)}, "0 of its 1 signers"),
        (manifest("1.1.0"), {"trust": trust(KEY, OTHER, threshold=2)}, "2 trusted signatures"),
        (manifest("1.1.0"), {"trust": None}, "no trusted keys"),
        (manifest("1.1.0", disable_signing=True), {"keys": ()}, "not signed"),
        (manifest("0.9.9"), {}, "older"),
        (replace(manifest("1.1.0"), platform="rpi4"), {}, "built for rpi4"),
        (manifest("1.1.0"), {"missing": 1000, "free": 2000 + SPARE - 1}, "storage is full"),
        (
            replace(manifest("1.1.0"), parts={"root": SystemPart("0" * 64, 101)}),
            {"room": {"root": 100}},
            "not fit",
        ),
    ],
)
def test_it_is_refused(new, how, words):
    with pytest.raises(KosError, match=words):
        offered(new, **how)


def test_two_people_reach_a_threshold_of_two():
    offered(manifest("1.1.0"), keys=(KEY, OTHER), trust=trust(KEY, OTHER, threshold=2))


def test_one_person_signing_twice_does_not():
    with pytest.raises(KosError, match="2 trusted"):
        offered(manifest("1.1.0"), keys=(KEY, KEY), trust=trust(KEY, OTHER, threshold=2))


def test_a_system_without_signing_takes_what_is_unsigned():
    offered(manifest("1.1.0"), keys=(), running=manifest(disable_signing=True), trust=None)


def test_exactly_enough_storage_is_enough():
    offered(manifest("1.1.0"), missing=1000, free=2000 + SPARE)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1.0-rc1", "1.0"),
        ("1.0", "1.0.1"),
        ("1.9", "1.10"),
        ("1.0.0", "2"),
        ("1.0a", "1.0b"),
        ("1.0+x", "1.0.1+a"),
    ],
)
def test_releases_are_ordered_by_their_numbers(first, second):
    assert older(first, second) and not older(second, first)


def test_a_release_is_not_older_than_itself():
    assert not older("1.0.0", "1.0.0")
