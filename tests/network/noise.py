"""A WireGuard initiator's first message (section 5.4.2 of its paper), for tests and benchmarks: one packet,
no session.

With it a device's clock can be anything, and thousands of devices need no thousands of processes.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

INITIATION, RESPONSE = 1, 2
RESPONSE_SIZE = 92
_CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
_IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
_TAI64 = 0x400000000000000A


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2s(b"".join(parts)).digest()


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.blake2s).digest()


def _kdf(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    secret = _hmac(key, data)
    first = _hmac(secret, b"\x01")
    return first, _hmac(secret, first + b"\x02")


def initiation(private_key: bytes, responder: bytes, sender: int, seconds: float) -> bytes:
    """The message of 148 bytes.

    Args:
        private_key: the initiator's static key.
        responder: the public key of the other side.
        sender: index by which the answer names us.
        seconds: since 1970, by the initiator's clock.
    """
    static = X25519PrivateKey.from_private_bytes(private_key)
    peer = X25519PublicKey.from_public_bytes(responder)
    ephemeral = X25519PrivateKey.generate()
    shown = ephemeral.public_key().public_bytes_raw()
    chain = _hash(_CONSTRUCTION)
    digest = _hash(_hash(chain, _IDENTIFIER), responder)
    chain, _ = _kdf(chain, shown)
    digest = _hash(digest, shown)
    chain, key = _kdf(chain, ephemeral.exchange(peer))
    own = static.public_key().public_bytes_raw()
    sealed_static = ChaCha20Poly1305(key).encrypt(bytes(12), own, digest)
    digest = _hash(digest, sealed_static)
    chain, key = _kdf(chain, static.exchange(peer))
    stamp = struct.pack("!QI", _TAI64 + int(seconds), int(seconds % 1 * 1e9))
    sealed_stamp = ChaCha20Poly1305(key).encrypt(bytes(12), stamp, digest)
    message = struct.pack("<II", INITIATION, sender) + shown + sealed_static + sealed_stamp
    mac_key = _hash(b"mac1----", responder)
    return message + hashlib.blake2s(message, digest_size=16, key=mac_key).digest() + bytes(16)


def answered(packet: bytes) -> int | None:
    """Whose initiation a packet answers; None for anything else, such as a request to wait."""
    if len(packet) != RESPONSE_SIZE or packet[0] != RESPONSE:
        return None
    return int(struct.unpack_from("<I", packet, 8)[0])
