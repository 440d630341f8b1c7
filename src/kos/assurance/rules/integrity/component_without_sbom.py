"""A component that the SBOM does not list."""

import re
from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule

_DIST_INFO = re.compile(r"(?:^|/)([A-Za-z0-9_.]+)-([A-Za-z0-9_.!+]+)\.dist-info/METADATA")


@rule(
    "component-without-sbom",
    Severity.MEDIUM,
    "A component of the image is not in the SBOM",
    looks_at="installed Python distributions in each app's image against the SBOM",
    why="When a hole in that component is published, nobody finds the devices that have it.",
    sources=(*etsi("5.3-1", "5.2-3"), *iec("CR 7.8")),
    fix="build the SBOM again from what is in the images",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    components = facts.image.components
    listed = {(_normal(name), version) for name, version in components or ()}
    unlisted = "which the SBOM does not list" if components is not None else "and there is no SBOM"
    for app, files in facts.image_files():
        for file in files:
            match = _DIST_INFO.search(file.path)
            if match and (_normal(match[1]), match[2]) not in listed:
                yield Fault(f"{app or 'the root'} has {match[1]} {match[2]}, {unlisted}", app)


def _normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
