"""QEMU in the root file system of a device with microVMs: the program, the libraries that only it needs, no
firmware, no other machine's QEMU.

In a folder of its own, which no app but a microVM's sees.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from kos.abi.errors import KosError

PROGRAM = "usr/bin/qemu-system-aarch64"
FOLDER = "usr/lib/kos/qemu"
_DYNAMIC, _LOAD = 2, 1  # program headers, elf(5)
_NEEDED, _STRTAB = 1, 5  # tags of the dynamic section


def add(tree: Path, package: Path) -> None:
    """Add QEMU from the unpacked packages to a tree."""
    home = tree / FOLDER
    (home / "lib").mkdir(parents=True)
    program = package / PROGRAM
    shutil.copy(program, home / program.name)
    for name, path in closure(program, package / "usr/lib", tree / "usr/lib").items():
        shutil.copy(path, home / "lib" / name)
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.name == program.name else 0o644)


def closure(program: Path, libraries: Path, there: Path) -> dict[str, Path]:
    """The libraries that a program needs and a system does not have already: name → file.

    Raises:
        KosError: a library is in neither place.
    """
    found: dict[str, Path] = {}
    pending = [program]
    while pending:
        for name in needed(pending.pop()):
            if name in found or any(_places(there, name)):
                continue
            path = next(iter(_places(libraries, name)), None)
            if path is None:
                raise KosError(f"{program.name} needs {name}, which no package brought")
            found[name] = path
            pending.append(path)
    return found


def _places(folder: Path, name: str) -> list[Path]:
    return [path for path in (folder / name, *folder.glob(f"*-linux-gnu*/{name}")) if path.exists()]


def needed(path: Path) -> list[str]:
    """The libraries that a 64-bit little-endian ELF file names (System V ABI, chapter 5)."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise KosError("not a 64-bit ELF file", where=str(path))
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQ", data, table + size * number) for number in range(count)]
    # of each: type, flags, offset, virtual address, physical address, size in the file
    loads = [(header[3], header[2], header[5]) for header in headers if header[0] == _LOAD]
    dynamic = next((header for header in headers if header[0] == _DYNAMIC), None)
    if dynamic is None:
        return []
    pairs = list(struct.iter_unpack("<QQ", data[dynamic[2] : dynamic[2] + dynamic[5] // 16 * 16]))
    address = next(value for tag, value in pairs if tag == _STRTAB)
    strings = next(
        offset + address - start for start, offset, length in loads if start <= address < start + length
    )
    starts = [strings + value for tag, value in pairs if tag == _NEEDED]
    return [data[start : data.index(b"\0", start)].decode() for start in starts]
