"""Checks that this process is as confined as the platform promises, seen from inside. They change nothing.

Each check raises KosError with what was expected and what was found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from kos.abi.errors import KosError

PROC = "/proc"
_CONFINED = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0000000000000000", "CapBnd": "0000000000000000"}


def no_network(proc: str = PROC) -> None:
    """There is no interface but loopback, and no route."""
    lines = _read(f"{proc}/self/net/dev")[2:]
    interfaces = {line.partition(":")[0].strip() for line in lines} - {"lo"}
    if interfaces:
        raise KosError(f"expected no network, found {', '.join(sorted(interfaces))}")


def no_other_processes(proc: str = PROC) -> None:
    """Nobody is visible but this process and those that started it inside the sandbox."""
    own = {os.getpid(), os.getppid(), 1}
    others = {int(entry) for entry in os.listdir(proc) if entry.isdigit()} - own
    if others:
        raise KosError(f"expected no other processes, found {len(others)}: {sorted(others)[:5]}")


def confined(proc: str = PROC) -> None:
    """A system-call filter holds, no capability is left and none can be gained."""
    status = dict(line.split(":", 1) for line in _read(f"{proc}/self/status"))
    for name, expected in _CONFINED.items():
        found = status.get(name, "nothing").strip()
        if found != expected:
            raise KosError(f"expected {name} {expected}, found {found}")


def read_only(folders: Iterable[str] = ("/", "/kos")) -> None:
    """Nothing of what runs can be changed from inside."""
    for folder in folders:
        probe = f"{folder}/.self_test_{os.getpid()}"
        try:
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError:
            continue
        os.unlink(probe)
        raise KosError(f"expected {folder} to be read-only, and could write there")


def _read(path: str) -> list[str]:
    with open(path, encoding="ascii") as file:
        return file.read().splitlines()
