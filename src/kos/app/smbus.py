"""The interface of `smbus2.SMBus` over an I2C server, so that a sensor driver from PyPI runs unchanged.

    from kos.app import smbus
    smbus.install(bus="i2c2")    # before the driver is imported
    import bme280                # does `import smbus2`, and opens SMBus(1)

A bus number or a path such as /dev/i2c-2 names the bus `i2c2`, whose port the manifest must grant. Errors
are `OSError`, as drivers expect: EACCES for an address that was not granted, ENXIO when no device answers,
EIO when the bus failed, ENOENT for a bus that was not granted. Packet error checking is refused. `force`
means nothing here, because no other driver holds the device. It does not open a device file, ever.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntFlag
from struct import Struct
from types import TracebackType

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import I2C_MESSAGES_MAX, I2C_TRANSFER, I2C_TRANSFER_READ
from kos.abi.status import Status
from kos.app.status import StatusError
from kos.app.token import Token, connect

I2C_SMBUS_BLOCK_MAX = 32
_PART = Struct("<HHH")
_ERRNO = {
    Status.UNAUTHORIZED: errno.EACCES,
    Status.NOT_FOUND: errno.ENXIO,
    Status.NOT_IMPLEMENTED: errno.EOPNOTSUPP,
    Status.BAD_REQUEST: errno.EINVAL,
}
_forced_bus: str | None = None


class I2cFunc(IntFlag):
    """Linux's names of what a bus can do (uapi/linux/i2c.h); those that apply here."""

    I2C = 0x00000001
    SMBUS_PEC = 0x00000008
    SMBUS_BLOCK_PROC_CALL = 0x00008000
    SMBUS_QUICK = 0x00010000
    SMBUS_READ_BYTE = 0x00020000
    SMBUS_WRITE_BYTE = 0x00040000
    SMBUS_READ_BYTE_DATA = 0x00080000
    SMBUS_WRITE_BYTE_DATA = 0x00100000
    SMBUS_READ_WORD_DATA = 0x00200000
    SMBUS_WRITE_WORD_DATA = 0x00400000
    SMBUS_PROC_CALL = 0x00800000
    SMBUS_READ_BLOCK_DATA = 0x01000000
    SMBUS_WRITE_BLOCK_DATA = 0x02000000
    SMBUS_READ_I2C_BLOCK = 0x04000000
    SMBUS_WRITE_I2C_BLOCK = 0x08000000
    SMBUS_BYTE = 0x00060000
    SMBUS_BYTE_DATA = 0x00180000
    SMBUS_WORD_DATA = 0x00600000
    SMBUS_BLOCK_DATA = 0x03000000
    SMBUS_I2C_BLOCK = 0x0C000000


_FUNCS = I2cFunc(sum(I2cFunc)) & ~I2cFunc.SMBUS_PEC


class _Buffer(bytearray):
    """As ctypes' `POINTER(c_char)` in smbus2: an index gives one byte as `bytes`."""

    def __getitem__(self, index):  # type: ignore[no-untyped-def, override]
        item = super().__getitem__(index)
        return bytes((item,)) if isinstance(item, int) else bytes(item)


class i2c_msg:
    """One message of a combined transaction; make it with `read` or `write`."""

    def __init__(self, addr: int, flags: int, buf: bytes) -> None:
        self.addr = addr
        self.flags = flags
        self.buf = _Buffer(buf)
        self.len = len(self.buf)

    @staticmethod
    def read(address: int, length: int) -> i2c_msg:
        """Read `length` bytes; they are in this object after the transaction."""
        return i2c_msg(address, I2C_TRANSFER_READ, bytes(length))

    @staticmethod
    def write(address: int, buf: str | bytes | Iterable[int]) -> i2c_msg:
        """Write bytes, given as bytes, numbers or text of code points below 256."""
        return i2c_msg(address, 0, buf.encode("latin-1") if isinstance(buf, str) else bytes(buf))

    def __iter__(self) -> Iterator[int]:
        return iter(bytes(self.buf))

    def __len__(self) -> int:
        return self.len

    def __bytes__(self) -> bytes:
        return bytes(self.buf)

    def __str__(self) -> str:
        return bytes(self.buf).decode(errors="ignore")

    def __repr__(self) -> str:
        return f"i2c_msg({self.addr},{self.flags},{bytes(self.buf)!r})"


# Sends label and payload on a connection to an I2C server; returns the reply's status and payload.
Call = Callable[[int, bytes], tuple[int, bytes]]


class SMBus:
    """One bus. Registers are 0 to 255, words are little-endian, as SMBus has them."""

    def __init__(self, bus: int | str | None = None, force: bool = False) -> None:
        self.funcs = I2cFunc(0)
        self.force = force
        self._call: Call | None = None
        if bus is not None:
            self.open(bus)

    def __enter__(self) -> SMBus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, bus: int | str) -> None:
        """Connect to the server of a bus, by number, path or name."""
        port = port_of(bus)
        self._call = _connect(port)
        self.funcs = _FUNCS

    def close(self) -> None:
        """Forget the connection; it stays open for the next `SMBus` of this app."""
        self._call = None
        self.funcs = I2cFunc(0)

    def enable_pec(self, enable: bool = True) -> None:
        """Refused: I2C servers do no packet error checking."""
        if enable:
            raise OSError(errno.EOPNOTSUPP, "SMBUS_PEC is not a feature of this bus")

    pec = property(lambda self: 0, enable_pec)

    def i2c_rdwr(self, *i2c_msgs: i2c_msg) -> None:
        """All messages in one transaction, with a repeated start between them."""
        if self._call is None:
            raise OSError(errno.EBADF, "the bus is not open")
        if not 1 <= len(i2c_msgs) <= I2C_MESSAGES_MAX:
            raise OSError(errno.EINVAL, f"expected 1 to {I2C_MESSAGES_MAX} messages, found {len(i2c_msgs)}")
        payload = b"".join(
            _PART.pack(message.addr, message.flags, message.len)
            + (b"" if message.flags & I2C_TRANSFER_READ else bytes(message))
            for message in i2c_msgs
        )
        if len(payload) > PAYLOAD_MAX_SIZE:
            raise OSError(errno.EMSGSIZE, f"a transaction has at most {PAYLOAD_MAX_SIZE} bytes")
        status, data = self._call(I2C_TRANSFER, payload)
        if status != Status.OK:
            raise _error(status, i2c_msgs)
        for message in i2c_msgs:
            if message.flags & I2C_TRANSFER_READ:
                message.buf[:] = data[: message.len]
                data = data[message.len :]

    def write_quick(self, i2c_addr: int, force: bool | None = None) -> None:
        self._write(i2c_addr, ())

    def read_byte(self, i2c_addr: int, force: bool | None = None) -> int:
        message = i2c_msg.read(i2c_addr, 1)
        self.i2c_rdwr(message)
        return bytes(message)[0]

    def write_byte(self, i2c_addr: int, value: int, force: bool | None = None) -> None:
        self._write(i2c_addr, (value & 0xFF,))

    def read_byte_data(self, i2c_addr: int, register: int, force: bool | None = None) -> int:
        return self._read(i2c_addr, (register,), 1)[0]

    def write_byte_data(self, i2c_addr: int, register: int, value: int, force: bool | None = None) -> None:
        self._write(i2c_addr, (register, value & 0xFF))

    def read_word_data(self, i2c_addr: int, register: int, force: bool | None = None) -> int:
        return int.from_bytes(self._read(i2c_addr, (register,), 2), "little")

    def write_word_data(self, i2c_addr: int, register: int, value: int, force: bool | None = None) -> None:
        self._write(i2c_addr, (register, value & 0xFF, value >> 8 & 0xFF))

    def process_call(self, i2c_addr: int, register: int, value: int, force: bool | None = None) -> int:
        written = (register, value & 0xFF, value >> 8 & 0xFF)
        return int.from_bytes(self._read(i2c_addr, written, 2), "little")

    def read_block_data(self, i2c_addr: int, register: int, force: bool | None = None) -> list[int]:
        """A block whose first byte is its length. All 33 bytes are clocked, the device's length counts."""
        return _block(self._read(i2c_addr, (register,), 1 + I2C_SMBUS_BLOCK_MAX))

    def write_block_data(
        self, i2c_addr: int, register: int, data: Sequence[int], force: bool | None = None
    ) -> None:
        _check_block(len(data))
        self._write(i2c_addr, (register, len(data), *data))

    def block_process_call(
        self, i2c_addr: int, register: int, data: Sequence[int], force: bool | None = None
    ) -> list[int]:
        _check_block(len(data))
        return _block(self._read(i2c_addr, (register, len(data), *data), 1 + I2C_SMBUS_BLOCK_MAX))

    def read_i2c_block_data(
        self, i2c_addr: int, register: int, length: int, force: bool | None = None
    ) -> list[int]:
        _check_block(length)
        return list(self._read(i2c_addr, (register,), length))

    def write_i2c_block_data(
        self, i2c_addr: int, register: int, data: Sequence[int], force: bool | None = None
    ) -> None:
        _check_block(len(data))
        self._write(i2c_addr, (register, *data))

    def _write(self, address: int, data: Iterable[int]) -> None:
        self.i2c_rdwr(i2c_msg.write(address, data))

    def _read(self, address: int, written: Iterable[int], size: int) -> bytes:
        answer = i2c_msg.read(address, size)
        self.i2c_rdwr(i2c_msg.write(address, written), answer)
        return bytes(answer)


def install(bus: str | None = None) -> None:
    """Let `import smbus2` and `import smbus` find this module.

    Args:
        bus: such as `i2c2`: the bus that every `SMBus` opens, for drivers with a number of their own.
    """
    global _forced_bus
    _forced_bus = bus
    sys.modules["smbus2"] = sys.modules["smbus"] = sys.modules[__name__]


def port_of(bus: int | str) -> str:
    """The port of a bus: 2, "/dev/i2c-2" and "i2c2" are all `kos_i2c2_protocol`."""
    if _forced_bus is not None:
        return f"kos_{_forced_bus}_protocol"
    if isinstance(bus, bool) or not isinstance(bus, int | str):
        raise TypeError(f"expected a bus number or path, found {bus!r}")
    match = re.fullmatch(r"(?:/dev/i2c-|i2c)?(\d{1,3})", str(bus))
    name = f"i2c{int(match[1])}" if match else str(bus)
    return f"kos_{name}_protocol"


def _check_block(length: int) -> None:
    if length > I2C_SMBUS_BLOCK_MAX:
        raise ValueError(f"a block has at most {I2C_SMBUS_BLOCK_MAX} bytes, found {length}")


def _block(data: bytes) -> list[int]:
    if data[0] > I2C_SMBUS_BLOCK_MAX:
        raise OSError(errno.EPROTO, f"the device announced a block of {data[0]} bytes")
    return list(data[1 : 1 + data[0]])


def _error(status: int, messages: Sequence[i2c_msg]) -> OSError:
    number = _ERRNO.get(Status(status), errno.EIO) if status in list(Status) else errno.EIO
    addresses = ", ".join(sorted({f"{message.addr:#04x}" for message in messages}))
    return OSError(number, f"{os.strerror(number)}: I2C address {addresses}")


def _connect(port: str) -> Call:
    """A call to the server of `port` that connects anew when the server was restarted.

    Raises:
        OSError: ENOENT when the manifest does not grant the bus, as for a device file that is not there.
    """
    token: Token | None
    try:
        token = connect(port)
    except StatusError as error:
        number = errno.ENOENT if error.status is Status.NOT_FOUND else errno.EIO
        raise OSError(number, f"{error.status.name}: {port}") from error

    def call(label: int, payload: bytes) -> tuple[int, bytes]:
        nonlocal token
        for last in (False, True):
            try:
                if token is None:
                    token = connect(port)
                reply = token.call(label, payload=payload, check=False)
                return reply.label, bytes(reply.payload)
            except StatusError as error:
                token = None
                # A transaction that was under way may have been done: it is not repeated.
                if last or error.status is not Status.INVALID_TOKEN:
                    return int(error.status), b""
        raise AssertionError

    return call
