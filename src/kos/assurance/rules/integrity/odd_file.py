"""A device node or the like in an image."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule


@rule(
    "odd-file",
    Severity.HIGH,
    "An image holds a device node, socket or pipe, or a path outside itself",
    looks_at="the kind and the path of each entry in an app's image",
    why=(
        "A device node is hardware that no grant shows; a path that leads outside is written over the host's "
        "files when the image is unpacked."
    ),
    sources=(*etsi("5.6-7"), *iec("CR 3.5", "CR 2.1")),
    fix="build again with kos-tool manifest, which packs only files, directories and links inside the image",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    for app, files in facts.image_files():
        for file in files if app else ():
            if file.kind == "other":
                yield Fault(f"{app} has {file.path}, which is no file, directory or link", app)
            if file.path.startswith("/") or ".." in file.path.split("/"):
                yield Fault(f"{app} has {file.path}, which leads outside the image", app)
