"""The boot record: which slot the boot loader starts, and how often it may still try it. Pure.

The record lies twice in the partition `kos-env`, each copy an environment block of U-Boot with a checksum. A
change is written over the older copy with the next sequence number, so that one whole copy exists at every
moment. The boot loader's script (`kos.build.image.bootscript`) takes one try off before it starts a slot on
trial; only a system that found itself healthy makes its slot the good one. Other words in the partition are
notes for people.
"""

from __future__ import annotations

from kos.abi.records import dataclass, replace
from kos.device.store import ubootenv

PARTITION = "kos-env"
COPY_OFFSETS = (0x0, 0x10000)
COPY_SIZE = 0x1000  # bytes
# Why the last attempt failed: text, ended by a zero. Its first line, `kos_failed=SLOT`, tells the boot
# loader's script which slot it was: a good one is not tried again before the other one.
NOTE_OFFSET = 0x20000
NOTE_SLOT = "kos_failed"
NOTE_SIZE = 512
PARTITION_SIZE = 1 << 20
SLOTS = ("a", "b")
TRIES = 3  # starts that a new generation gets to become healthy
TRIES_MAX = 9  # one digit: the script has no arithmetic
SEQUENCES = 3  # numbers go 1, 2, 3, 1, …: of two neighbours it is known which one is newer


def after(sequence: int) -> int:
    """The sequence number that follows."""
    return sequence % SEQUENCES + 1


@dataclass(frozen=True)
class BootRecord:
    """`good` is the slot that is known to work, `trial` the one to try first while `left` is above 0."""

    sequence: int
    good: str
    trial: str = ""
    left: int = 0

    def begin_trial(self, slot: str, tries: int = TRIES) -> BootRecord:
        return replace(self, sequence=after(self.sequence), trial=slot, left=tries)

    def confirm(self, slot: str) -> BootRecord:
        """`slot` is healthy."""
        return BootRecord(after(self.sequence), slot)

    def give_up(self) -> BootRecord:
        """The trial failed: the good slot is what is started from now on."""
        return BootRecord(after(self.sequence), self.good)

    def take(self) -> tuple[str, BootRecord]:
        """What the boot loader's script does: the slot to start, and the record to write first."""
        if self.trial and self.left > 0:
            return self.trial, replace(self, sequence=after(self.sequence), left=self.left - 1)
        return self.good, self

    def encode(self) -> bytes:
        """One copy."""
        variables = {"kos_seq": str(self.sequence), "kos_good": self.good, "kos_left": str(self.left)}
        return ubootenv.encode(variables | {"kos_trial": self.trial or "-"}, COPY_SIZE)


def decode(block: bytes) -> BootRecord:
    """One copy.

    Raises:
        ValueError: it is not a record.
    """
    variables = ubootenv.decode(block)
    try:
        good, trial = variables["kos_good"], variables["kos_trial"]
        record = BootRecord(
            int(variables["kos_seq"]), good, "" if trial == "-" else trial, int(variables["kos_left"])
        )
    except KeyError as error:
        raise ValueError(f"the boot record has no {error}") from error
    if not 1 <= record.sequence <= SEQUENCES or not 0 <= record.left <= TRIES_MAX:
        raise ValueError(f"the boot record has a number out of its range: {record}")
    if record.good not in SLOTS or record.trial not in ("", *SLOTS):
        raise ValueError(f"the boot record names a slot that does not exist: {record}")
    return record


def newest(copies: list[bytes]) -> tuple[BootRecord, int]:
    """The newest valid copy and the index of the other one, which is the one to write next.

    Raises:
        ValueError: no copy is valid.
    """
    found: dict[int, BootRecord] = {}
    problems = []
    for index, block in enumerate(copies):
        try:
            found[index] = decode(block)
        except ValueError as error:
            problems.append(str(error))
    if not found:
        raise ValueError("; ".join(problems))
    if len(found) == 2:
        index = 0 if found[0].sequence == after(found[1].sequence) else 1
    else:
        (index,) = found
    return found[index], 1 - index


def partition_image(good: str = "a") -> bytes:
    """A new `kos-env` partition: both copies say the same."""
    image = bytearray(PARTITION_SIZE)
    for sequence, offset in enumerate(COPY_OFFSETS, start=1):
        image[offset : offset + COPY_SIZE] = BootRecord(sequence, good).encode()
    return bytes(image)
