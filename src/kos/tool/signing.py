"""Signing with the private keys that a command was given as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kos.abi.errors import KosError
from kos.keys import pairs, signing


def sign_with(keys: Sequence[Path], data: bytes, context: bytes = signing.CONTEXT) -> dict[str, bytes]:
    """One signature for each key file, by the file's name.

    Raises:
        KosError: a file holds no key.
    """
    signatures = {}
    for path in keys:
        private = path.read_bytes()
        if len(private) != pairs.KEY_SIZE:
            raise KosError(f"expected a key of {pairs.KEY_SIZE} bytes, found {len(private)}", where=str(path))
        signatures[path.stem] = signing.sign(data, private, context)
    return signatures
