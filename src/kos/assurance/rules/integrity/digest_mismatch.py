"""An image that is not what the manifest names."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule
from kos.manifest.images import BuiltImage


@rule(
    "digest-mismatch",
    Severity.CRITICAL,
    "A blob is not what the manifest names",
    looks_at="the real digest and size of every blob against its name and the manifest",
    why=(
        "The signature covers the manifest, and the manifest names blobs by digest: a blob that differs is "
        "unsigned."
    ),
    sources=(*etsi("5.3-9", "5.7-1"), *iec("CR 3.4", "EDR 3.14")),
    fix="build again; if it still differs, somebody changed the file",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    blobs = facts.image.blobs
    parts = {part.sha256: kind for kind, part in facts.manifest.parts.items()}  # not tars, as images are
    for name, blob in sorted(blobs.items()):
        if blob.sha256 != name:
            yield Fault(f"blob {name[:12]} has the digest {blob.sha256[:12]}")
        elif blob.problem and name not in parts:
            yield Fault(f"blob {name[:12]} is not an image: {blob.problem}")
    for sha256, kind in sorted(parts.items()):
        if sha256 not in blobs:
            yield Fault(f"the {kind} is blob {sha256[:12]}, which is not there")
    for app in facts.apps.values():
        if isinstance(app.image, BuiltImage):
            blob = blobs.get(app.image.sha256)
            if blob is None:
                yield Fault(f"{app.name} names blob {app.image.sha256[:12]}, which is not there", app)
            elif blob.size != app.image.size:
                yield Fault(
                    f"{app.name} has an image of {blob.size} bytes, the manifest says {app.image.size}", app
                )
