"""The kernel inside an Arm zImage, which unpacks itself with its caches off: slowly, and from XZ in Debian's
builds. A boot loader unpacks the same kernel from gzip in a third of the time.

The zImage says itself where things are (Linux, arch/arm/boot/compressed/head.S and vmlinux.lds.S): its
header, a table behind it, and the kernel's size behind the packed kernel.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kos.abi.errors import KosError
from kos.build.image.run import run

_MAGIC, _MAGIC_2, _TABLE_MAGIC = 0x016F2818, 0x45454545, 0x5A534C4B
_MAGIC_AT, _MAGIC_2_AT = 0x24, 0x34  # the second one is followed by the table's place
_XZ = b"\xfd7zXZ\0"
SIZE_MAX = 64 << 20  # bytes of a kernel


@dataclass(frozen=True)
class Kernel:
    """What a zImage holds.

    Attributes:
        image: the kernel itself.
        offset: bytes from the beginning of RAM to where it has to be, which is where it is entered.
    """

    image: bytes
    offset: int


def unpack(zimage: bytes, where: str = "zImage") -> Kernel:
    """The kernel in a zImage.

    Raises:
        KosError: it is none, or packed in another way.
    """
    try:
        (magic,) = struct.unpack_from("<I", zimage, _MAGIC_AT)
        magic_2, table = struct.unpack_from("<2I", zimage, _MAGIC_2_AT)
        _words, table_magic, end, _bss, offset = struct.unpack_from("<5I", zimage, table)
        (size,) = struct.unpack_from("<I", zimage, end)
    except struct.error:
        raise KosError("expected a zImage, found a file without its table", where=where) from None
    if (magic, magic_2, table_magic) != (_MAGIC, _MAGIC_2, _TABLE_MAGIC):
        raise KosError("expected a zImage of Linux 4.17 or newer, found none", where=where)
    if size > SIZE_MAX:
        raise KosError(f"expected a kernel of at most {SIZE_MAX} bytes, found {size}", where=where)
    start = -1
    while (start := zimage.find(_XZ, start + 1, end)) >= 0:  # the unpacker's code holds the same bytes
        try:
            packed = lzma.LZMADecompressor(lzma.FORMAT_XZ)
            image = packed.decompress(zimage[start:end], size + 1)
        except lzma.LZMAError:
            continue
        if packed.eof and len(image) == size and not packed.unused_data:
            return Kernel(image, offset)
    raise KosError("expected a kernel packed with XZ, found none", where=where)


def for_bootm(kernel: Kernel, ram: int, target: Path) -> Path:
    """The kernel packed with gzip, as U-Boot's `bootm` takes it, for a board whose RAM begins at `ram`."""
    place = f"{ram + kernel.offset:#x}"
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "kernel.gz")
        packed.write_bytes(gzip.compress(kernel.image, 9, mtime=0))
        words = ("-A", "arm", "-O", "linux", "-T", "kernel", "-C", "gzip", "-a", place, "-e", place)
        run("mkimage", *words, "-n", "Linux", "-d", packed, target)
    return target
