"""Signing with the private keys that a command was given as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.keys import pairs, signing

KEY_FILE_MAX = 64 << 10  # bytes: room to say that a key in another form is not one


def sign_with(keys: Sequence[Path], data: bytes, context: bytes = signing.CONTEXT) -> dict[str, bytes]:
    """One signature for each key file, by the file's name.

    Raises:
        KosError: a file holds no key.
    """
    signatures = {}
    for path in keys:
        private = read_bounded(path, KEY_FILE_MAX)
        if len(private) != pairs.KEY_SIZE:
            raise KosError(f"expected a key of {pairs.KEY_SIZE} bytes, found {len(private)}", where=str(path))
        signatures[path.stem] = signing.sign(data, private, context)
    return signatures
