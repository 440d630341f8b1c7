"""The boot record: which slot the boot loader starts, and how often it may still try it. Pure.

The record lies twice in the partition `kos-env`, each copy an environment block of U-Boot with a checksum. A
change is written over the older copy with the next sequence number, so that one whole copy exists at every
moment. The boot loader's script (`kos.build.image.bootscript`) takes one try off before it starts a slot on
trial; only a system that found itself healthy makes its slot the good one. Other words in the partition are
notes for people.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kos.device.store import ubootenv

PARTITION = "kos-env"
COPY_OFFSETS = (0x0, 0x10000)
COPY_SIZE = 0x1000  # bytes
NOTE_OFFSET = 0x20000  # why the last attempt failed: text, ended by a zero
NOTE_SIZE = 512
PARTITION_SIZE = 1 << 20
SLOTS = ("a", "b")
TRIES = 3  # starts that a new generation gets to become healthy
TRIES_MAX = 255  # for a generation that is to be tried without end


@dataclass(frozen=True)
class BootRecord:
    """`good` is the slot that is known to work, `trial` the one to try first while `left` is above 0."""

    sequence: int
    good: str
    trial: str = ""
    left: int = 0

    def begin_trial(self, slot: str, tries: int = TRIES) -> BootRecord:
        return replace(self, sequence=self.sequence + 1, trial=slot, left=tries)

    def confirm(self, slot: str) -> BootRecord:
        """`slot` is healthy."""
        return BootRecord(self.sequence + 1, slot)

    def give_up(self) -> BootRecord:
        """The trial failed: the good slot is what is started from now on."""
        return BootRecord(self.sequence + 1, self.good)

    def take(self) -> tuple[str, BootRecord]:
        """What the boot loader's script does: the slot to start, and the record to write first."""
        if self.trial and self.left > 0:
            return self.trial, replace(self, sequence=self.sequence + 1, left=self.left - 1)
        return self.good, self

    def encode(self) -> bytes:
        """One copy. Numbers are hexadecimal, as U-Boot's arithmetic takes them."""
        variables = {"kos_seq": f"{self.sequence:x}", "kos_good": self.good, "kos_left": f"{self.left:x}"}
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
            int(variables["kos_seq"], 16), good, "" if trial == "-" else trial, int(variables["kos_left"], 16)
        )
    except KeyError as error:
        raise ValueError(f"the boot record has no {error}") from error
    if record.good not in SLOTS or record.trial not in ("", *SLOTS):
        raise ValueError(f"the boot record names a slot that does not exist: {record}")
    return record


def newest(copies: list[bytes]) -> tuple[BootRecord, int]:
    """The newest valid copy and the index of the other one, which is the one to write next.

    Raises:
        ValueError: no copy is valid.
    """
    found: list[tuple[BootRecord, int]] = []
    problems = []
    for index, block in enumerate(copies):
        try:
            found.append((decode(block), index))
        except ValueError as error:
            problems.append(str(error))
    if not found:
        raise ValueError("; ".join(problems))
    record, index = max(found, key=lambda pair: pair[0].sequence)
    return record, 1 - index


def partition_image(good: str = "a") -> bytes:
    """A new `kos-env` partition: both copies the same age apart by one."""
    image = bytearray(PARTITION_SIZE)
    for sequence, offset in enumerate(COPY_OFFSETS, start=1):
        image[offset : offset + COPY_SIZE] = BootRecord(sequence, good).encode()
    return bytes(image)
