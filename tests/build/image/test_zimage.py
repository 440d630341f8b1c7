"""The kernel in a zImage: found by what the zImage says of itself, checked, and packed anew for U-Boot."""

from __future__ import annotations

import gzip
import lzma
import struct

import pytest

from kos.abi.errors import KosError
from kos.build.image import zimage
from kos.build.image.run import find, run

KERNEL = bytes(range(256)) * 300
OFFSET = 0x208000
MAGIC, MAGIC_2, TABLE = 0x016F2818, 0x45454545, 0x5A534C4B


def made(packed: bytes, size: int = len(KERNEL), table: int = TABLE) -> bytes:
    """A zImage: header, the code that unpacks, which holds the magic too, the kernel, its size, more code."""
    code = bytearray(0x100)
    struct.pack_into("<I", code, 0x24, MAGIC)
    struct.pack_into("<2I", code, 0x34, MAGIC_2, 0x80)
    end = len(code) + 6 + len(packed)
    struct.pack_into("<5I", code, 0x80, 6, table, end, 0, OFFSET)
    return bytes(code) + b"\xfd7zXZ\0" + packed + struct.pack("<I", size) + b"more code"


def test_the_kernel_is_found_and_packed_for_u_boot(tmp_path):
    kernel = zimage.unpack(made(lzma.compress(KERNEL)))
    assert kernel == zimage.Kernel(KERNEL, OFFSET)
    try:
        find("mkimage")
    except KosError as error:
        pytest.skip(f"needs {error.hint}")
    image = zimage.for_bootm(kernel, 0x40000000, tmp_path / "kernel")
    said = run("mkimage", "-l", image)
    assert "ARM Linux Kernel Image (gzip compressed)" in said
    assert said.count("40208000") == 2, "loaded and entered there"
    run("dumpimage", "-T", "kernel", "-o", tmp_path / "out", image)
    assert gzip.decompress((tmp_path / "out").read_bytes()) == KERNEL
    assert zimage.for_bootm(kernel, 0x40000000, tmp_path / "again").read_bytes() == image.read_bytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "without its table"),
        (bytes(0x1000), "found none"),
        (made(lzma.compress(KERNEL))[:0x200], "without its table"),
        (made(lzma.compress(KERNEL), table=0), "expected a zImage of Linux 4.17"),
        (made(gzip.compress(KERNEL)), "packed with XZ"),
        (made(lzma.compress(KERNEL), size=len(KERNEL) - 1), "packed with XZ"),
        (made(lzma.compress(KERNEL) + b"rest"), "packed with XZ"),
        (made(lzma.compress(KERNEL), size=zimage.SIZE_MAX + 1), "at most"),
    ],
)
def test_what_is_no_such_image_is_refused(data, message):
    with pytest.raises(KosError, match=message):
        zimage.unpack(data, "here")
