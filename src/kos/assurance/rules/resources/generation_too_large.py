"""A generation that does not fit where it must be stored."""

from collections.abc import Iterator

from kos.assurance.facts import Facts
from kos.assurance.rule import Depth, Fault, Severity, etsi, iec, rule

_MIB = 1 << 20
_GENERATIONS = 2  # the one that runs and the one that replaces it


@rule(
    "generation-too-large",
    Severity.HIGH,
    "Two generations do not fit into the device's storage",
    looks_at="the size of all images and of the root, against the data partition and the root's slot",
    why=(
        "During an upgrade the old and the new generation are stored side by side. What does not fit twice "
        "can be flashed once and never upgraded."
    ),
    sources=(*etsi("5.3-2"), *iec("EDR 3.10", "CR 7.4")),
    fix="make images smaller, or the partitions larger",
    depth=Depth.IMAGE,
)
def check(facts: Facts) -> Iterator[Fault]:
    board, image = facts.board, facts.image
    data_size = facts.options.data_size or (board.data_size if board else None)
    images = sum(blob.size for blob in image.blobs.values())
    if data_size is not None and _GENERATIONS * images > data_size:
        partition = f"a data partition of {data_size // _MIB} MiB"
        yield Fault(f"images of {images // _MIB} MiB do not fit twice into {partition}")
    if board and board.slot_size is not None and (image.root_size or 0) > board.slot_size:
        yield Fault(
            f"kernel and root of {image.root_size // _MIB} MiB do not fit into a slot of "
            f"{board.slot_size // _MIB} MiB"
        )
