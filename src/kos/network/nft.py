"""nftables through its own program: load a ruleset in one transaction, read its counters.

The rules themselves are made by whoever wants them; this only carries them into a network namespace.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess

from kos.abi.errors import KosError
from kos.abi.records import dataclass
from kos.network.namespaces import in_namespace

TIMEOUT = 20.0  # seconds


@dataclass(frozen=True)
class Counter:
    """What a named counter saw."""

    packets: int
    bytes: int


def program() -> str:
    """The path of nft.

    Raises:
        KosError: it is not installed.
    """
    found = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise KosError("the program nft is not installed", hint="apt-get install nftables")
    return found


def _run(namespace: int | None, arguments: list[str], text: str | None = None) -> str:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program(), *arguments], input=text, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )

    done = run() if namespace is None else in_namespace(namespace, run)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise KosError(f"nft refused: {said[0] if said else f'exit {done.returncode}'}")
    return done.stdout


def load(rules: str, namespace: int | None = None) -> None:
    """Load rules, all or nothing, in a namespace or (None) in our own.

    Raises:
        KosError: nft or the kernel refused them.
    """
    _run(namespace, ["-f", "-"], rules)


def counters(table: str, namespace: int | None = None) -> dict[str, Counter]:
    """The named counters of a table of family inet."""
    listed = json.loads(_run(namespace, ["-j", "list", "counters", "table", "inet", table]))
    found = [item["counter"] for item in listed["nftables"] if "counter" in item]
    return {item["name"]: Counter(item["packets"], item["bytes"]) for item in found}


def tables(namespace: int | None = None) -> set[tuple[str, str]]:
    """The tables that exist, as family and name."""
    listed = json.loads(_run(namespace, ["-j", "list", "tables"]))
    return {
        (item["table"]["family"], item["table"]["name"]) for item in listed["nftables"] if "table" in item
    }
