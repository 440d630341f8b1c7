"""A file that gives privileges to whoever starts it."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.image import SETGID, SETUID
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "setuid-file",
    Severity.HIGH,
    "A file of the image is setuid or setgid",
    looks_at="permission bits of files in app images and in the root",
    why="It gives its owner's rights to whoever starts it; one fault in it is enough.",
    sources=(*etsi("5.6-7"), *iec("CCSC 3", "CR 2.1")),
    fix="clear the bits",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    for app, files in facts.image_files():
        for file in files:
            if file.kind == "file" and file.mode & (SETUID | SETGID):
                yield Fault(f"{app or 'the root'} has {file.path} with mode {file.mode:04o}", app)
