"""Passwords (Argon2id), one-time codes (TOTP, RFC 6238) and random secrets. No database here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
import time

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from kos.abi.errors import KosError

PASSWORD_MIN = 12  # characters
PASSWORD_MAX = 256
TOTP_STEP = 30  # seconds
TOTP_DIGITS = 6
TOTP_DRIFT = 1  # steps that the user's clock may be off

_hasher = PasswordHasher()
# Verified when there is no such user, so that the answer takes as long.
_DUMMY = _hasher.hash("nobody has this password")


def hash_password(password: str) -> str:
    """The stored form. Raises KosError for one that is too short or too long."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise KosError(f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters, found {len(password)}")
    return _hasher.hash(password)


def password_matches(stored: str | None, password: str) -> bool:
    """Whether it is the right one; takes the same time when there is none."""
    if len(password) > PASSWORD_MAX:
        return False
    try:
        return _hasher.verify(stored or _DUMMY, password) and stored is not None
    except (VerifyMismatchError, InvalidHashError):
        return False


def new_secret(prefix: str = "") -> str:
    """256 random bits as text."""
    return prefix + secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """The stored form of a random secret: it has enough entropy for a plain hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_totp_secret() -> str:
    return base64.b32encode(secrets.token_bytes(20)).decode()


def totp_code(secret: str, step: int) -> str:
    """The code of one time step."""
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return str(number % 10**TOTP_DIGITS).zfill(TOTP_DIGITS)


def totp_step(secret: str, code: str, last_step: int, at: float | None = None) -> int:
    """The step that `code` belongs to; each code works once.

    Raises:
        KosError: wrong, or used before.
    """
    now = int((time.time() if at is None else at) // TOTP_STEP)
    for step in range(now - TOTP_DRIFT, now + TOTP_DRIFT + 1):
        if step > last_step and hmac.compare_digest(totp_code(secret, step).encode(), code.encode()):
            return step
    raise KosError("wrong code", hint="codes change every 30 s and work once: wait for the next")


def totp_uri(secret: str, account: str, issuer: str = "KOS") -> str:
    """What an authenticator app reads."""
    return f"otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}"
