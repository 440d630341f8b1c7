"""A release signed with a key that everybody has."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Depth, Fault, Severity, etsi, iec, rule


@rule(
    "development-key",
    Severity.CRITICAL,
    "A release is signed with a development key",
    looks_at="the keys of the image's signatures",
    why="Development keys lie on laptops; what they sign, anyone can sign.",
    sources=(*etsi("5.3-10", "5.4-3"), *iec("CR 1.9", "EDR 3.12")),
    fix="sign with the release key, which never leaves the signing machine",
    profiles=RELEASE_ONLY,
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    for signature in facts.image.signatures:
        if signature.development:
            yield Fault(f"the image is signed with the development key {signature.key_id}")
