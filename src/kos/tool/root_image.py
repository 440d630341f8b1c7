"""Read the root file system of a device image for assurance: its files with their modes, and its filters."""

from __future__ import annotations

import hashlib
import tempfile
from itertools import combinations
from pathlib import Path

from kos.abi.errors import KosError
from kos.assurance.image import BLOB_FILES_MAX, ImageFile
from kos.build.image.run import run
from kos.device.seccomp.compiler import compile_policy
from kos.device.seccomp.policy import KINDS, RESOURCES_WITH_CALLS, policy_for

_TOP = "squashfs-root"  # what unsquashfs calls the root
_KINDS = {"-": "file", "d": "directory", "l": "link"}
_BITS = (0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001)
# The letter in the place of an x → the bit that it adds: setuid, setgid, sticky.
_SPECIAL = {3: ("sS", 0o4000), 6: ("sS", 0o2000), 9: ("tT", 0o1000)}
_FILTERS = "usr/lib/kos/packages/filters"
_MACHINES = {"aarch32": "arm"}


def root_files(image: Path) -> tuple[ImageFile, ...]:
    """Every file of a squashfs, by name, kind and mode; contents are not looked at.

    Raises:
        KosError: squashfs-tools are missing, or it is no squashfs.
    """
    lines = [line for line in run("unsquashfs", "-lln", image).splitlines() if _TOP in line]
    if len(lines) > BLOB_FILES_MAX:
        raise KosError(f"{len(lines)} files are too many, at most {BLOB_FILES_MAX}", where=str(image))
    return tuple(_file(line) for line in lines if not line.endswith(_TOP))


def _file(line: str) -> ImageFile:
    """A line such as `-rwsr-xr-x 0/0   3 2026-11-23 07:26 squashfs-root/usr/bin/su`."""
    letters = line.split(None, 1)[0]
    path = line.partition(f"{_TOP}/")[2]
    kind = _KINDS.get(letters[0], "other")
    return ImageFile(path.split(" -> ")[0] if kind == "link" else path, kind, _mode(letters))


def _mode(letters: str) -> int:
    mode = sum(bit for letter, bit in zip(letters[1:], _BITS, strict=True) if letter not in "-ST")
    return mode | sum(bit for place, (marks, bit) in _SPECIAL.items() if letters[place] in marks)


def root_filters(image: Path, filters: str = _FILTERS) -> dict[str, str]:
    """Name → SHA-256 of each compiled filter in a squashfs."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "root"
        run("unsquashfs", "-no-progress", "-quiet", "-d", target, image, filters)
        found = (target / filters).glob("*.bpf") if (target / filters).is_dir() else ()
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(found)}


def expected_filters(arch: str) -> frozenset[str]:
    """SHA-256 of every filter that the policies of this SDK compile to, for `aarch64` or `aarch32`."""
    machine = _MACHINES.get(arch, arch)
    return frozenset(
        hashlib.sha256(compile_policy(policy_for(kind, resources), machine)).hexdigest()
        for kind in KINDS
        for count in range(len(RESOURCES_WITH_CALLS) + 1)
        for resources in combinations(RESOURCES_WITH_CALLS, count)
    )
