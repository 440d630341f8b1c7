"""Make key pairs and write them as files: `NAME.key`, 32 raw bytes, mode 0600, and `NAME.pub`, 32 raw bytes.

The form is what the key store of a device reads. It must not overwrite a key: a lost private key is lost for
good.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kos.abi.durable import sync_directory
from kos.abi.errors import KosError

KEY_SIZE = 32  # bytes, private and public, of both types
_KINDS: dict[str, type[Ed25519PrivateKey | X25519PrivateKey]] = {
    "ed25519": Ed25519PrivateKey,
    "x25519": X25519PrivateKey,
}
DEVICE_KEYS = {"server": "ed25519", "tunnel": "x25519"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def generate(directory: Path, keys: Iterable[tuple[str, str]]) -> dict[str, bytes]:
    """Make a pair for each (name, type) and write them below `directory`; the public keys by name.

    Raises:
        KosError: a name that no key can have, or a file that is there already; then nothing is written.
    """
    wanted = list(keys)
    for name, _ in wanted:
        if not _NAME.fullmatch(name):
            raise KosError(
                f"{name!r} cannot be a key's name",
                hint="lower-case letters, digits and _, a letter first, at most 32",
            )
        for path in _files(directory, name):
            if os.path.lexists(path):
                raise KosError(
                    "a key is there already and is not overwritten",
                    where=str(path),
                    hint="choose another directory, or remove it if no device uses it",
                )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = {}
    for name, kind in wanted:
        private = _KINDS[kind].generate()
        public[name] = private.public_key().public_bytes_raw()
        secret, shown = _files(directory, name)
        _write(secret, private.private_bytes_raw(), 0o600)
        _write(shown, public[name], 0o644)
    # A device is flashed with these next: their names must not be lost with this machine's power.
    sync_directory(directory)
    with contextlib.suppress(PermissionError):  # one that we may not read is not one that we made
        sync_directory(directory.resolve().parent)
    return public


def _files(directory: Path, name: str) -> tuple[Path, Path]:
    return directory / f"{name}.key", directory / f"{name}.pub"


def _write(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def check_device_keys(directory: Path) -> None:
    """That a directory holds every key that a device needs, unreadable for others.

    Raises:
        KosError: one is missing, damaged or open to others.
    """
    for name in DEVICE_KEYS:
        secret, shown = _files(directory, name)
        for path in (secret, shown):
            try:
                status = path.stat()
            except OSError as error:
                raise KosError(
                    f"cannot be read: {error.strerror}",
                    where=str(path),
                    hint="kos-tool keys.generate DIRECTORY makes a device's keys",
                ) from None
            if status.st_size != KEY_SIZE:
                raise KosError(f"expected a key of {KEY_SIZE} bytes, found {status.st_size}", where=str(path))
        mode = secret.stat().st_mode & 0o777
        if mode & 0o077:
            raise KosError(
                f"the private key is open to others: mode {mode:04o}, expected 0600",
                where=str(secret),
                hint="treat the key as known to others: make a new pair",
            )
