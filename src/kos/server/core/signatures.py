"""Whose signatures a release carries, and whether they suffice. Verification raises."""

from __future__ import annotations

from collections.abc import Mapping

from kos.abi.errors import KosError
from kos.server.settings import Settings


def judge(manifest: bytes, signatures: Mapping[str, bytes], settings: Settings) -> tuple[str, ...]:
    """The public keys (hex) that have signed these bytes.

    Raises:
        KosError: a signature is wrong, or none is by a trusted key where the server asks for one.
    """
    signers = tuple(_verify(name, document, manifest) for name, document in sorted(signatures.items()))
    trusted = {key.strip().lower() for key in settings.trusted_keys.split(",") if key.strip()}
    if trusted and not trusted & set(signers):
        raise KosError(
            "no signature is by a key that this server trusts", hint="sign it with kos-tool manifest.sign"
        )
    return signers


def _verify(name: str, document: bytes, manifest: bytes) -> str:
    raise KosError(f"signature {name}: this server cannot verify it")
