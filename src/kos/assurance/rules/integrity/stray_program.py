"""A program where none belongs."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule
from kos.manifest.images import BuiltCImage, BuiltImage


@rule(
    "stray-program",
    Severity.MEDIUM,
    "An image holds a program that its app does not need",
    looks_at=(
        "ELF files: in a C app anything but its entry and libraries, in a Python app anything but extensions"
    ),
    why=(
        "A second program is a tool for whoever gets in: a shell, a downloader, an old copy with a known "
        "hole."
    ),
    sources=(*etsi("5.6-6"), *iec("CR 7.7", "EDR 3.2")),
    fix="leave it out of the build's install step",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    for name, files in facts.image_files():
        app = facts.apps.get(name) if name else None
        if app is None or not isinstance(app.image, BuiltImage):
            continue
        for file in files:
            library = ".so" in file.path.rsplit("/", 1)[-1]
            entry = isinstance(app.image, BuiltCImage) and file.path == app.image.entry
            if file.program and not library and not entry:
                yield Fault(f"{name} has a program {file.path} besides its own", app)
