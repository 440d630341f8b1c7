"""Signatures of manifests: Ed25519 (RFC 8032) over the manifest's bytes, in documents of their own. No I/O.

A signature covers `CONTEXT` and the exact bytes of `manifest.json`; the manifest names every blob by its
hash, so it covers those too. Whom to trust is said by a `Trust`, which a device keeps beside its keys.
Verification raises; it never answers with something that could be ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from kos.abi.errors import KosError
from kos.abi.hints import Any
from kos.abi.records import dataclass

FORMAT, VERSION = "kos.signature", 1
TRUST_FORMAT = "kos.trust"
CONTEXT = b"KOS manifest signature v1\0"
DOCUMENT_MAX = 4096  # bytes of one signature's document
TRUST_MAX = 64 << 10  # bytes
TRUSTED_KEYS_MAX = 64
_KEY = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True)
class Trust:
    """Whose signatures count, and how many different ones are needed."""

    keys: frozenset[str]  # public keys in hexadecimal
    threshold: int = 1

    def dump(self) -> bytes:
        document = {
            "format": TRUST_FORMAT,
            "version": VERSION,
            "threshold": self.threshold,
            "keys": sorted(self.keys),
        }
        return json.dumps(document, indent=1).encode() + b"\n"


def load_trust(data: bytes, where: str) -> Trust:
    """A trust document.

    Raises:
        KosError: it is not one, or asks for more keys than it names.
    """
    fields = _fields(data, TRUST_MAX, TRUST_FORMAT, where)
    keys, threshold = fields.get("keys"), fields.get("threshold")
    if not isinstance(keys, list) or len(keys) > TRUSTED_KEYS_MAX:
        raise KosError(f"expected at most {TRUSTED_KEYS_MAX} keys", where=where)
    if not all(isinstance(key, str) and _KEY.fullmatch(key) for key in keys):
        raise KosError("a key is 64 hexadecimal digits", where=where)
    if type(threshold) is not int or not 1 <= threshold <= len(set(keys)):
        raise KosError(f"expected a threshold of 1 to {len(set(keys))}, found {threshold!r}", where=where)
    return Trust(frozenset(keys), threshold)


def sign(manifest: bytes, private_key: bytes, context: bytes = CONTEXT) -> bytes:
    """The signature's document.

    Args:
        manifest: the bytes of `manifest.json`.
        private_key: 32 raw bytes.
        context: what kind of thing is signed.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(private_key)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "key": key.public_key().public_bytes_raw().hex(),
        "signature": key.sign(context + manifest).hex(),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def verify(document: bytes, manifest: bytes, where: str = "signature", context: bytes = CONTEXT) -> str:
    """The public key (hexadecimal) that signed these bytes.

    Raises:
        KosError: it is not a signature of them.
    """
    # They load OpenSSL: not when a device starts, only when something is verified.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    fields = _fields(document, DOCUMENT_MAX, FORMAT, where)
    key, signature = fields.get("key"), fields.get("signature")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise KosError("the signature names no key", where=where)
    if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        raise KosError("the signature is not one", where=where)
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
            bytes.fromhex(signature), context + manifest
        )
    except (InvalidSignature, ValueError):
        raise KosError(
            f"the signature by {key[:12]} is not of this manifest",
            where=where,
            hint="sign it again: kos-tool manifest.sign",
        ) from None
    return key


def require(
    manifest: bytes, signatures: Mapping[str, bytes], trust: Trust, context: bytes = CONTEXT
) -> frozenset[str]:
    """The trusted keys that signed the manifest.

    Raises:
        KosError: a signature is wrong, or fewer than the threshold are by different trusted keys.
    """
    signers = {
        verify(document, manifest, f"signature {name}", context)
        for name, document in sorted(signatures.items())
    }
    trusted = frozenset(signers & trust.keys)
    if len(trusted) < trust.threshold:
        said = (
            "it is not signed" if not signers else f"{len(trusted)} of its {len(signers)} signers are trusted"
        )
        raise KosError(
            f"{said}; {trust.threshold} trusted signatures are needed", hint="sign it: kos-tool manifest.sign"
        )
    return trusted


def _fields(data: bytes, limit: int, form: str, where: str) -> dict[str, Any]:
    if len(data) > limit:
        raise KosError(f"expected at most {limit} bytes, found {len(data)}", where=where)
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or fields.get("format") != form or fields.get("version") != VERSION:
        raise KosError(f"expected a {form} of version {VERSION}", where=where)
    return fields
