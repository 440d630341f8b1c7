"""Checks of the core apps that this app is connected to. Each raises KosError, or StatusError of a call."""

from __future__ import annotations

# First, and not where it is used: this app starts while those that it tests do, and this takes longest.
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kos import app
from kos.abi.errors import KosError
from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import (
    KEY_STORE_PUBLIC,
    KEY_STORE_SIGN,
    LOG_LEVEL_INFO,
    LOG_WRITE,
    PORT_KEY_STORE,
    PORT_LOG,
    PORT_RNG,
    RNG_READ,
)
from kos.services.selftest import randomness

KEY = b"self_test\0"
TIMEOUT = 10.0  # seconds for a core app to serve its port


def message_server() -> None:
    """It answers."""
    app.ping()


def rng() -> None:
    """It gives fresh bytes of a sane distribution."""
    token = app.connect(PORT_RNG, timeout=TIMEOUT)
    first, second = (bytes(token.call(RNG_READ, PAYLOAD_MAX_SIZE).payload) for _ in range(2))
    if len(first) != PAYLOAD_MAX_SIZE:
        raise KosError(f"expected {PAYLOAD_MAX_SIZE} random bytes, found {len(first)}")
    randomness.check(first, b"")
    randomness.check(second, first)


def log() -> None:
    """It accepts a line."""
    app.connect(PORT_LOG, timeout=TIMEOUT).call(LOG_WRITE, LOG_LEVEL_INFO, b"the log accepts lines")


def key_store() -> None:
    """It signs, the signature verifies with the public key, and does not for another message."""
    token = app.connect(PORT_KEY_STORE, timeout=TIMEOUT)
    message = app.random(32)
    public = Ed25519PublicKey.from_public_bytes(bytes(token.call(KEY_STORE_PUBLIC, payload=KEY).payload))
    signature = bytes(token.call(KEY_STORE_SIGN, payload=KEY + message).payload)
    try:
        public.verify(signature, message)
    except InvalidSignature:
        raise KosError("expected a signature that verifies with the key's public half") from None
    try:
        public.verify(signature, message[::-1])
    except InvalidSignature:
        return
    raise KosError("expected a signature to hold for its message only, and it verified another one")
