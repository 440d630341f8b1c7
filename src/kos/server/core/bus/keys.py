"""The bus' own keys: the account that signs log-ins, the server's user, the system user.

Created once, kept in the data folder with mode 0600; every server process of one installation shares them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import nkeys

from kos.abi.errors import KosError
from kos.server.core.shared_secret import read_or_create

NAMES = {
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "server": nkeys.PREFIX_BYTE_USER,
    "system": nkeys.PREFIX_BYTE_USER,
}


@dataclass(frozen=True)
class BusKeys:
    """Seeds (private) by role."""

    account: str
    server: str
    system: str

    def public(self, role: str) -> str:
        """The public key of a role, as NATS writes it."""
        return nkeys.from_seed(bytearray(getattr(self, role), "ascii")).public_key.decode()


def load_or_create(folder: Path) -> BusKeys:
    """Read the seeds; make those that are missing."""
    return BusKeys(**{role: _seed(folder / f"bus-{role}.seed", prefix) for role, prefix in NAMES.items()})


def _seed(path: Path, prefix: int) -> str:
    seed = read_or_create(path, nkeys.encode_seed(os.urandom(32), prefix)).decode().strip()
    if not seed.startswith("S"):
        raise KosError("not a bus seed", where=str(path), hint="restore it from a backup of the data folder")
    return seed
