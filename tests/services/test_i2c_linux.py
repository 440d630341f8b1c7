"""The Linux back end. There is no bus here, so the test reads what the kernel would read at the ioctl."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from kos.abi.status import Status
from kos.services.i2c import linux
from kos.services.i2c.bus import BusError, Message


class KernelMessage(ctypes.Structure):
    """struct i2c_msg of linux/i2c.h."""

    _fields_ = [
        ("addr", ctypes.c_uint16),
        ("flags", ctypes.c_uint16),
        ("len", ctypes.c_uint16),
        ("buf", ctypes.POINTER(ctypes.c_uint8)),
    ]


class KernelRequest(ctypes.Structure):
    """struct i2c_rdwr_ioctl_data of linux/i2c-dev.h."""

    _fields_ = [("msgs", ctypes.POINTER(KernelMessage)), ("nmsgs", ctypes.c_uint32)]


def test_the_kernel_finds_the_transaction_at_the_addresses_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def ioctl(_file: int, request: int, argument: bytes) -> int:
        assert request == 0x0707
        assert len(argument) >= ctypes.sizeof(KernelRequest) - 4
        wanted = KernelRequest.from_buffer_copy(argument.ljust(ctypes.sizeof(KernelRequest), b"\0"))
        for message in wanted.msgs[: wanted.nmsgs]:
            if message.flags == 1:
                for at in range(message.len):
                    message.buf[at] = 0xA0 + at
            seen.append((message.addr, message.flags, bytes(message.buf[: message.len])))
        return 0

    monkeypatch.setattr(linux.fcntl, "ioctl", ioctl)
    (tmp_path / "bus").touch()
    bus = linux.LinuxBus(str(tmp_path / "bus"))
    data = bus.transfer(
        [Message(0x76, b"\xf7"), Message(0x76, size=3, read=True), Message(0x48, b""), Message(0x48, b"\1\2")]
    )
    assert data == b"\xa0\xa1\xa2"
    assert seen == [(0x76, 0, b"\xf7"), (0x76, 1, data), (0x48, 0, b""), (0x48, 0, b"\1\2")]


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENXIO, Status.NOT_FOUND),
        (errno.EREMOTEIO, Status.NOT_FOUND),
        (errno.ETIMEDOUT, Status.UNAVAILABLE),
        (errno.EAGAIN, Status.UNAVAILABLE),
        (errno.EOPNOTSUPP, Status.NOT_IMPLEMENTED),
    ],
)
def test_a_fault_of_the_bus_becomes_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: Status
) -> None:
    def ioctl(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(linux.fcntl, "ioctl", ioctl)
    (tmp_path / "bus").touch()
    with pytest.raises(BusError) as caught:
        linux.LinuxBus(str(tmp_path / "bus")).transfer([Message(0x76, b"\0")])
    assert caught.value.status is status


def test_what_is_no_bus_is_refused_by_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "bus").touch()
    with pytest.raises(BusError):
        linux.LinuxBus(str(tmp_path / "bus")).transfer([Message(0x76, b"\0")])
