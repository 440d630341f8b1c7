"""Private keys in the memory of this process: read from the key partition, or made here when there is none.

A key file is 32 raw bytes, `NAME.key` with mode 0600; `NAME.pub` beside it holds the 32 bytes of the
public key. Nothing here returns a private key, prints it or puts it into an error.

`cryptography` (OpenSSL, Rust) and not PyNaCl: both import in about 20 ms here, and only this one is a Debian
package that the rest of the platform needs anyway.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from kos.abi.errors import KosError
from kos.services.keystore.config import KeySpec

KEY_SIZE = 32  # bytes, of private and public keys of both types
_KINDS: dict[str, type[Ed25519PrivateKey | X25519PrivateKey]] = {
    "ed25519": Ed25519PrivateKey,
    "x25519": X25519PrivateKey,
}


class Key:
    """One private key behind its operations."""

    def __init__(
        self, spec: KeySpec, private: Ed25519PrivateKey | X25519PrivateKey, provisioned: bool
    ) -> None:
        self.spec = spec
        self.provisioned = provisioned
        self.public = private.public_key().public_bytes_raw()
        self._private = private

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature (RFC 8032) of `message`."""
        assert isinstance(self._private, Ed25519PrivateKey)
        return self._private.sign(message)

    def agree(self, peer: bytes) -> bytes:
        """The 32-byte X25519 secret (RFC 7748) shared with the owner of public key `peer`.

        Raises:
            ValueError: `peer` is no public key, or one of small order: the secret would be known to all.
        """
        assert isinstance(self._private, X25519PrivateKey)
        return self._private.exchange(X25519PublicKey.from_public_bytes(peer))


def load(specs: Iterable[KeySpec], folder: str) -> dict[str, Key]:
    """All keys by name; one that has no file in `folder` is made now and lasts as long as this process.

    Raises:
        KosError: a key file that cannot be read, is no key, is open to others or not the public key's.
    """
    return {spec.name: _load_one(spec, folder) for spec in specs}


def _load_one(spec: KeySpec, folder: str) -> Key:
    path = f"{folder}/{spec.name}.key"
    kind = _KINDS[spec.type]
    if spec.ephemeral or not os.path.exists(path):
        return Key(spec, kind.generate(), provisioned=False)
    key = Key(spec, kind.from_private_bytes(_read_private(path)), provisioned=True)
    public = f"{folder}/{spec.name}.pub"
    if os.path.exists(public) and _read(public)[0] != key.public:
        raise KosError(
            f"the public key beside {spec.name}.key is another one's",
            where=public,
            hint="provision the device's keys again",
        )
    return key


def _read_private(path: str) -> bytes:
    data, mode = _read(path)
    if mode & 0o077:
        raise KosError(
            f"the private key is open to others: mode {mode:04o}, expected 0600",
            where=path,
            hint="treat the key as known to others: provision a new pair",
        )
    return data


def _read(path: str) -> tuple[bytes, int]:
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(KEY_SIZE + 1)
    except OSError as problem:
        raise KosError(f"cannot read a key: {problem.strerror}", where=path) from problem
    if len(data) != KEY_SIZE:
        found = f"{len(data)}" if len(data) < KEY_SIZE else f"more than {KEY_SIZE}"
        raise KosError(f"expected a key of {KEY_SIZE} bytes, found {found}", where=path)
    return data, mode
