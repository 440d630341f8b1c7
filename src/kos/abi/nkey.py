"""Device identity on the bus: the text form of an Ed25519 public key (NATS "nkey") and what follows from it.

Pure: no key is stored and nothing is signed here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from kos.abi.errors import KosError

PUBLIC_KEY_SIZE = 32
PREFIX_USER = 20 << 3  # makes the text form start with "U"
DEVICE_ID_SIZE = 32  # hex digits
CLAIM_CODE_SIZE = 10


def _crc16(data: bytes) -> bytes:
    return binascii.crc_hqx(data, 0).to_bytes(2, "little")


def encode(public_key: bytes) -> str:
    """The text form of a 32-byte public key: base32 of prefix, key and CRC-16."""
    if len(public_key) != PUBLIC_KEY_SIZE:
        raise KosError(f"an Ed25519 public key has {PUBLIC_KEY_SIZE} bytes, found {len(public_key)}")
    body = bytes([PREFIX_USER]) + public_key
    return base64.b32encode(body + _crc16(body)).decode().rstrip("=")


def decode(text: str) -> bytes:
    """The public key of a text form made by `encode`."""
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as error:
        raise KosError(
            "not a device key: expected base32", hint="keys.generate prints the right form"
        ) from error
    if len(raw) != PUBLIC_KEY_SIZE + 3 or raw[0] != PREFIX_USER or _crc16(raw[:-2]) != raw[-2:]:
        raise KosError("not a device key: wrong size, prefix or checksum")
    return raw[1:-2]


def device_id(public_key: bytes) -> str:
    """The device's id: follows from its key, so that neither side has to believe a name."""
    return hashlib.sha256(public_key).hexdigest()[:DEVICE_ID_SIZE]


def claim_code(public_key: bytes) -> str:
    """A short code for the person who holds the device; whoever types it in claims the device."""
    digest = hashlib.sha256(b"kos claim code\0" + public_key).digest()
    text = base64.b32encode(digest).decode()[:CLAIM_CODE_SIZE]
    return f"{text[:5]}-{text[5:]}"
