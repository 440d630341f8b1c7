"""Whose signatures a release carries, and whether they suffice. Verification raises."""

from __future__ import annotations

from collections.abc import Mapping

from kos.abi.errors import KosError
from kos.keys import signing
from kos.server.settings import Settings


def judge(
    manifest: bytes, signatures: Mapping[str, bytes], settings: Settings, context: bytes = signing.CONTEXT
) -> tuple[str, ...]:
    """The public keys (hex) that have signed these bytes.

    Raises:
        KosError: a signature is wrong, or none is by a trusted key where the server asks for one.
    """
    signers = {
        signing.verify(document, manifest, f"signature {name}", context)
        for name, document in sorted(signatures.items())
    }
    trusted = {key.strip().lower() for key in settings.trusted_keys.split(",") if key.strip()}
    if trusted and not trusted & signers:
        raise KosError(
            "no signature is by a key that this server trusts", hint="sign it with kos-tool manifest.sign"
        )
    return tuple(sorted(signers))
