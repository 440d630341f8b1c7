"""Run a command in this process as a user would, and see what it said and what it left behind."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import resource
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from kos.tool import main

MEMORY = 512 << 20  # bytes more than before that a command may ask for
_CAPABILITY_VERSION_3 = 0x20080522
_OVER_FILES = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


@dataclass(frozen=True)
class Attempt:
    """How a command ended."""

    code: int
    out: str
    err: str

    def faults(self, *named: str) -> list[str]:
        """What is wrong with how it refused: nothing, where it did as it must."""
        found = [] if self.code == 1 else [f"exit {self.code}"]
        found += [] if self.out == "" else [f"printed {self.out[:200]!r}"]
        found += [] if self.err.startswith(("error: ", "• ")) else ["says no error"]
        found += [] if "\nhint: " in self.err and not self.err.endswith("hint: \n") else ["has no hint"]
        found += ["has a traceback"] if "Traceback" in self.err else []
        found += [f"does not say {name!r}" for name in named if name not in self.err]
        return [f"{', '.join(found)}: {self.err[-600:]}"] if found else []


def attempt(capfd: pytest.CaptureFixture[str], words: Sequence[str]) -> Attempt:
    """Run a command to its end."""
    capfd.readouterr()
    try:
        with _little_memory(), _no_right_over_files():
            code = main.run(words)
    except SystemExit as error:
        code = int(error.code or 0)
    out, err = capfd.readouterr()
    return Attempt(code, out, err)


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    """Who reads a whole huge file gets a MemoryError instead of the machine's memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def _no_right_over_files() -> Iterator[None]:
    """As root, be refused what a file's mode refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(24)
    assert libc.capget(header, held) == 0
    words = list(struct.unpack("6I", held.raw))
    words[0] &= ~_OVER_FILES
    assert libc.capset(header, struct.pack("6I", *words)) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held.raw) == 0


def tree(root: Path) -> dict[str, tuple[int, int, str]]:
    """Everything below with its mode, size and contents; not what is only kept to be faster."""
    found = {}
    with contextlib.ExitStack() as until_read:
        for folder, folders, names in os.walk(root):
            folders[:] = [one for one in folders if one not in ("__pycache__", ".cache")]
            for name in (*folders, *names):
                path = Path(folder, name)
                status = path.lstat()
                content = ""
                if stat.S_ISLNK(status.st_mode):
                    content = os.readlink(path)
                elif stat.S_ISDIR(status.st_mode):
                    until_read.enter_context(_let_in(path, status.st_mode))
                elif stat.S_ISREG(status.st_mode) and status.st_blocks * 512 >= status.st_size:  # not sparse
                    with _let_in(path, status.st_mode):
                        content = hashlib.sha256(path.read_bytes()).hexdigest()
                size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
                found[str(path.relative_to(root))] = (status.st_mode, size, content)
    return found


@contextlib.contextmanager
def _let_in(path: Path, mode: int) -> Iterator[None]:
    """For the time, an ordinary user may read what of its own it has shut."""
    if os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        yield
        return
    path.chmod(stat.S_IMODE(mode) | 0o500)
    try:
        yield
    finally:
        path.chmod(stat.S_IMODE(mode))


def refused(capfd: pytest.CaptureFixture[str], place: Path, words: Sequence[str], *named: str) -> list[str]:
    """Run a command that must be refused and change nothing; what is wrong with how it did."""
    before = tree(place)
    found = attempt(capfd, words).faults(*named)
    after = tree(place)
    if after != before:
        changed = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
        found.append(f"changed {changed[:5]}")
    return [f"{' '.join(words)[:150]!r}: {fault}" for fault in found]
