"""A bus of the machine: /dev/i2c-N and its I2C_RDWR call (Linux, Documentation/i2c/dev-interface.rst).

The bus's speed is a fact of the device tree: Linux has no call to change it, so `bus_speed` is not applied.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
from collections.abc import Sequence
from struct import Struct

from kos.abi.errors import KosError
from kos.abi.status import Status
from kos.services.i2c.bus import Bus, BusError, Message

_I2C_RDWR = 0x0707
_I2C_M_RD = 0x0001
_MSG = Struct("@HHHP")  # struct i2c_msg: addr, flags, len, buf
_RDWR = Struct("@PI")  # struct i2c_rdwr_ioctl_data: msgs, nmsgs

# Documentation/i2c/fault-codes.rst
_STATUS = {
    errno.ENXIO: Status.NOT_FOUND,
    errno.EREMOTEIO: Status.NOT_FOUND,
    errno.ENODEV: Status.NOT_FOUND,
    errno.EOPNOTSUPP: Status.NOT_IMPLEMENTED,
    errno.EINVAL: Status.BAD_REQUEST,
    errno.ENOMEM: Status.NOT_ENOUGH_MEMORY,
}


def device_path(bus: str) -> str:
    """The device file of a bus name such as `i2c2`.

    Raises:
        KosError: the name is not `i2c` and a number.
    """
    number = bus.removeprefix("i2c")
    if number == bus or not (number.isascii() and number.isdigit()):
        raise KosError(f"bus {bus!r} has no number", hint="name it as the board does, such as i2c2")
    return f"/dev/i2c-{int(number)}"


class LinuxBus(Bus):
    """One `/dev/i2c-N`, open for as long as this object lives."""

    def __init__(self, path: str) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as problem:
            raise KosError(
                f"cannot open the bus: {problem.strerror}",
                where=path,
                hint="is the bus enabled in the device tree, and the module i2c-dev loaded?",
            ) from problem

    def transfer(self, messages: Sequence[Message]) -> bytes:
        # The arrays own the memory that the kernel reads and writes by address, to the end of the call.
        buffers = [array.array("B", message.data or bytes(message.size)) for message in messages]
        table = array.array("B", b"".join(map(_entry, messages, buffers)))
        request = _RDWR.pack(table.buffer_info()[0], len(messages))
        try:
            fcntl.ioctl(self._file, _I2C_RDWR, request)
        except OSError as problem:
            status = _STATUS.get(problem.errno or 0, Status.UNAVAILABLE)
            raise BusError(status, problem.strerror or "unknown") from problem
        return b"".join(
            buffer.tobytes() for message, buffer in zip(messages, buffers, strict=True) if message.read
        )


def _entry(message: Message, buffer: array.array[int]) -> bytes:
    flags = _I2C_M_RD if message.read else 0
    entry = _MSG.pack(message.address, flags, len(buffer), buffer.buffer_info()[0])
    return entry.ljust(_MSG.size, b"\0")
