"""A blob that no app uses."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "stray-blob",
    Severity.MEDIUM,
    "The image holds a blob that no app uses",
    looks_at="blobs against the digests in the manifest",
    why=(
        "It is delivered, stored and never reviewed: a place to hide something until a later manifest names "
        "it."
    ),
    sources=(*etsi("5.6-6"), *iec("CR 7.7", "CR 3.4")),
    fix="build again with kos-tool manifest, which packs only what is named",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    named = {getattr(app.image, "sha256", None) for app in facts.apps.values()}
    named |= {part.sha256 for part in facts.manifest.parts.values()}
    for name in sorted(facts.image.blobs.keys() - named):
        yield Fault(f"blob {name[:12]} is named by no app and is no part of the system")
