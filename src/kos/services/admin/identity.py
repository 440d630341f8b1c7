"""The device's server key: its public half, and signatures made by whoever holds the private one.

On a device that is the key store, which never gives the key away; a simulated device reads a key file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kos.abi.errors import KosError

KEY_SIZE = 32


@dataclass(frozen=True)
class Identity:
    """An Ed25519 key pair that can be used and not read."""

    public_key: bytes
    sign: Callable[[bytes], bytes]


def from_seed(seed: bytes) -> Identity:
    """An identity of 32 private bytes."""
    # Not on a device, where the key store signs: there this library is not needed here.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(seed)
    return Identity(key.public_key().public_bytes_raw(), key.sign)


def from_file(path: Path) -> Identity:
    """The identity of a key file, as `kos-tool keys.generate` writes it."""
    try:
        seed = path.read_bytes()
    except OSError as error:
        raise KosError(
            f"the server key cannot be read: {error.strerror}",
            where=str(path),
            hint="kos-tool keys.generate DIRECTORY makes a device's keys",
        ) from error
    if len(seed) != KEY_SIZE:
        raise KosError(f"a server key has {KEY_SIZE} bytes, found {len(seed)}", where=str(path))
    return from_seed(seed)


def from_key_store(call: Callable[[int, bytes], tuple[int, int, bytes]], name: str = "server") -> Identity:
    """The identity of a key in the key store; `call` sends a label and a payload to it."""
    from kos.abi.services import KEY_STORE_PUBLIC, KEY_STORE_SIGN
    from kos.abi.status import Status

    def ask(label: int, data: bytes) -> bytes:
        status, _, payload = call(label, name.encode() + b"\0" + data)
        if status != Status.OK:
            raise KosError(f"the key store refused key {name!r}: status {status}")
        return payload

    return Identity(ask(KEY_STORE_PUBLIC, b""), lambda message: ask(KEY_STORE_SIGN, message))
