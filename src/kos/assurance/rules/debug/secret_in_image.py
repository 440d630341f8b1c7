"""A secret in an app's files."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "secret-in-image",
    Severity.CRITICAL,
    "A file of an image contains a secret",
    looks_at="the first megabyte of each file that is not a program",
    why="An image is the same on every device, and anyone who has one device has it.",
    sources=(*etsi("5.4-3"), *iec("CR 1.5", "CR 4.1")),
    fix="remove the file, treat the secret as known to everybody, and provision a new one for each device",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    for app, files in facts.image_files():
        for file in files:
            if file.secret:
                yield Fault(f"{app or 'the root'} has {file.secret} in {file.path}", app)
