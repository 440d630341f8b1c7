"""Secrets of channels, encrypted in the database with a key that is not in it."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from kos.abi.errors import KosError
from kos.server.core.shared_secret import read_or_create

KEY_FILE = "notify.key"


class Seal:
    """Seals and opens small documents. The key file is shared by all processes of an installation."""

    def __init__(self, keys: Path) -> None:
        self._fernet = Fernet(read_or_create(keys / KEY_FILE, Fernet.generate_key()))

    def close(self, values: dict[str, str]) -> str:
        return self._fernet.encrypt(json.dumps(values).encode()).decode()

    def open(self, sealed: str) -> dict[str, str]:
        """Raises KosError where it was sealed with another key."""
        try:
            found: dict[str, str] = json.loads(self._fernet.decrypt(sealed.encode()))
        except InvalidToken as error:
            raise KosError(
                "the channel's secret was sealed with another key",
                where=KEY_FILE,
                hint="restore the server's keys, or make the channel anew",
            ) from error
        return found
