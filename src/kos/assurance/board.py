"""What rules must know of a board. Filled in by whoever knows boards; assurance only compares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A range of physical addresses that a device may be mapped from, in bytes."""

    base: int
    size: int
    name: str = ""

    @property
    def end(self) -> int:
        return self.base + self.size


@dataclass(frozen=True)
class Board:
    """A board's limits. None means that it is not known, and rules about it stay quiet.

    Attributes:
        name: the platform.
        ram: bytes.
        reserved: bytes of RAM that the kernel and the platform themselves need.
        devices: where devices' registers are.
        data_size: bytes of the data partition.
        slot_size: bytes of one slot for kernel and root file system.
        kernel_command_line: what the kernel is started with, without the manifest's additions.
    """

    name: str
    ram: int | None = None
    reserved: int = 0
    devices: tuple[Region, ...] | None = None
    data_size: int | None = None
    slot_size: int | None = None
    kernel_command_line: str | None = None
