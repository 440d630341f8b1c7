"""SHA-256 of a document: what a starting program needs, without loading OpenSSL as `hashlib` does.

The standard library's own implementation (HACL*, verified) is its fallback for `hashlib`. For blobs and
images, which are large, `hashlib` is the right one: OpenSSL uses the processor's instructions.
"""

from __future__ import annotations

try:
    from _sha2 import sha256 as _sha256
except ImportError:  # before Python 3.12, and in builds without it
    from hashlib import sha256 as _sha256


def sha256_hex(data: bytes) -> str:
    """The digest of `data` in hexadecimal."""
    return _sha256(data).hexdigest()
