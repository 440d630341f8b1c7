"""A release without a signature that counts."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import RELEASE_ONLY, Depth, Fault, Severity, etsi, iec, rule


@rule(
    "unsigned",
    Severity.CRITICAL,
    "The image has no valid signature",
    looks_at="the signatures in the image, as whoever holds the trusted keys verified them",
    why="The device refuses it; and if one does not, then anyone can write for it.",
    sources=(*etsi("5.3-9", "5.3-10", "5.7-1"), *iec("CR 3.4", "EDR 3.14")),
    fix="kos-tool manifest.sign with the release key",
    profiles=RELEASE_ONLY,
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    signatures = facts.image.signatures
    if not signatures:
        yield Fault("the image is not signed")
    for signature in signatures:
        if not signature.valid:
            yield Fault(f"the signature {signature.key_id} does not verify with a trusted key")
