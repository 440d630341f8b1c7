"""The two slots of a device: writes the boot and root parts of one, keeps the boot record. I/O only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from kos.abi.errors import KosError
from kos.device.store import bootrecord
from kos.device.store.bootrecord import BootRecord
from kos.device.store.filesystem import FileSystem

PARTS = ("bootfs", "root")


class Slots:
    """Slots and boot record on their partitions.

    Args:
        running: the slot that this system was started from.
        partitions: `bootfs-a`, `root-b`, …, `env` → device.
        files: how they are written.
    """

    def __init__(self, running: str, partitions: Mapping[str, Path], files: FileSystem) -> None:
        self.running = running
        self._partitions = partitions
        self._files = files

    @property
    def other(self) -> str:
        """The slot that does not run."""
        return next(slot for slot in bootrecord.SLOTS if slot != self.running)

    def room(self) -> dict[str, int]:
        """Bytes that each part of a slot may have."""
        return {part: _size(self._partitions[f"{part}-{self.other}"]) for part in PARTS}

    def write(self, part: str, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        """Fill a part of the other slot and read it back.

        Raises:
            KosError: the storage gave back something else.
        """
        device = self._partitions[f"{part}-{self.other}"]
        self._files.write_at(device, 0, chunks)
        if self.digest(part, self.other, size) != sha256:
            raise KosError(f"the storage gave back other bytes than were written to {part}-{self.other}")

    def digest(self, part: str, slot: str, size: int) -> str:
        """SHA-256 of the first `size` bytes of a part, as the storage has them."""
        import hashlib  # loads OpenSSL: not when a device starts

        digest = hashlib.sha256()
        for chunk in self._files.read_back(self._partitions[f"{part}-{slot}"], 0, size):
            digest.update(chunk)
        return digest.hexdigest()

    def record(self) -> BootRecord:
        """The boot record.

        Raises:
            KosError: no copy of it is valid.
        """
        return self._newest()[0]

    def write_record(self, record: BootRecord) -> None:
        """Write the boot record over its older copy."""
        _, index = self._newest()
        self._files.write_at(self._partitions["env"], bootrecord.COPY_OFFSETS[index], [record.encode()])

    def mend_record(self) -> bool:
        """Begin anew where no copy of the boot record is valid, with the slot that was started; whether that
        was so. The boot loader starts something without a record too, and the device must not stop there.
        """
        try:
            self.record()
        except KosError:
            for index, offset in enumerate(bootrecord.COPY_OFFSETS, start=1):
                copy = BootRecord(index, self.running).encode()
                self._files.write_at(self._partitions["env"], offset, [copy])
            return True
        return False

    def passed_over(self) -> bool:
        """Whether the boot loader was to start the other slot and could not, or no longer tries to. False
        where no copy of the boot record is valid.
        """
        try:
            record = self.record()
        except KosError:
            return False
        return (record.trial or record.good) == self.other

    def take_note(self) -> str:
        """Why the last start failed, as the initramfs left it; empty where it left nothing. Clears it."""
        note = b"".join(
            self._files.read_back(self._partitions["env"], bootrecord.NOTE_OFFSET, bootrecord.NOTE_SIZE)
        )
        text = note.split(b"\0", 1)[0].decode("ascii", "replace").strip()
        if text:
            blank = bytes(bootrecord.NOTE_SIZE)
            self._files.write_at(self._partitions["env"], bootrecord.NOTE_OFFSET, [blank])
        # The first line is for the boot loader.
        first, _, rest = text.partition("\n")
        return rest if first.startswith(f"{bootrecord.NOTE_SLOT}=") else text

    def _newest(self) -> tuple[BootRecord, int]:
        device = self._partitions["env"]
        copies = [
            b"".join(self._files.read_back(device, offset, bootrecord.COPY_SIZE))
            for offset in bootrecord.COPY_OFFSETS
        ]
        try:
            return bootrecord.newest(copies)
        except ValueError as error:
            raise KosError(f"the boot record is damaged: {error}", where=str(device)) from error


def _size(device: Path) -> int:
    with device.open("rb") as file:
        return file.seek(0, 2)
