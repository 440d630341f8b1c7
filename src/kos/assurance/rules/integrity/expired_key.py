"""A signature by a key whose time is over."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "expired-key",
    Severity.HIGH,
    "The image is signed with an expired key",
    looks_at="the last day of the keys of the image's signatures",
    why=(
        "A key is given an end so that what leaks later is worth nothing; using it beyond that takes the end "
        "away."
    ),
    sources=(*etsi("5.3-7"), *iec("CR 1.9", "CR 1.5")),
    fix="sign with the key that follows it",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    for signature in facts.image.signatures:
        if signature.expires is not None and signature.expires < facts.today:
            yield Fault(f"key {signature.key_id} expired on {signature.expires}")
