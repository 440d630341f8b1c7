"""A file that anyone may change."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.image import OTHERS_WRITE
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule

_STICKY = 0o1000


@rule(
    "world-writable-file",
    Severity.MEDIUM,
    "A file of the image may be written by anyone",
    looks_at=(
        "permission bits of files and directories in app images and in the root; not of sticky directories"
    ),
    why="Images are mounted read-only, but a copy, a repair or an overlay is not: the bit waits for that.",
    sources=(*etsi("5.6-7"), *iec("CR 3.4", "CR 2.1")),
    fix="clear the write bit for others",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    for app, files in facts.image_files():
        for file in files:
            sticky = file.kind == "directory" and file.mode & _STICKY
            if file.kind in ("file", "directory") and file.mode & OTHERS_WRITE and not sticky:
                yield Fault(f"{app or 'the root'} has {file.path} with mode {file.mode:04o}", app)
