"""Checks that this process is as confined as the platform promises, seen from inside. They change nothing.

Each check raises KosError with what was expected and what was found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from kos.abi.errors import KosError

PROC = Path("/proc")
_CONFINED = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0000000000000000", "CapBnd": "0000000000000000"}


def no_network(proc: Path = PROC) -> None:
    """There is no interface but loopback, and no route."""
    lines = (proc / "self/net/dev").read_text().splitlines()[2:]
    interfaces = {line.partition(":")[0].strip() for line in lines} - {"lo"}
    if interfaces:
        raise KosError(f"expected no network, found {', '.join(sorted(interfaces))}")


def no_other_processes(proc: Path = PROC) -> None:
    """Nobody is visible but this process and those that started it inside the sandbox."""
    own = {os.getpid(), os.getppid(), 1}
    others = {int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()} - own
    if others:
        raise KosError(f"expected no other processes, found {len(others)}: {sorted(others)[:5]}")


def confined(proc: Path = PROC) -> None:
    """A system-call filter holds, no capability is left and none can be gained."""
    status = dict(line.split(":", 1) for line in (proc / "self/status").read_text().splitlines())
    for name, expected in _CONFINED.items():
        found = status.get(name, "nothing").strip()
        if found != expected:
            raise KosError(f"expected {name} {expected}, found {found}")


def read_only(folders: Iterable[Path] = (Path("/"), Path("/kos"))) -> None:
    """Nothing of what runs can be changed from inside."""
    for folder in folders:
        probe = folder / f".self_test_{os.getpid()}"
        try:
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError:
            continue
        probe.unlink()
        raise KosError(f"expected {folder} to be read-only, and could write there")
