"""What the I2C server needs of a bus: one transaction at a time. Back ends: `linux` and `simulated`."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence

from kos.abi.status import Status

# NXP UM10204 rev. 7.0, 3.1.12: the other 7-bit addresses are reserved.
ADDRESS_MIN, ADDRESS_MAX = 0x08, 0x77


class Message(namedtuple("_Message", "address data size read", defaults=(b"", 0, False))):
    """One part of a transaction, from a (repeated) start: `data` to write, or `size` bytes to read."""

    __slots__ = ()


class BusError(Exception):
    """A transaction failed on the bus.

    Attributes:
        status: NOT_FOUND when no device answered, UNAVAILABLE when the bus did not work, and so on.
    """

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status = status


class Bus:
    """One I2C bus."""

    def transfer(self, messages: Sequence[Message]) -> bytes:
        """All bytes read by one transaction of `messages`, in order.

        Raises:
            BusError: it failed; what was written before that stays written.
        """
        raise NotImplementedError
