"""The life of a device's identity. Pure: which step may follow which."""

from __future__ import annotations

from kos.abi.errors import KosError

PENDING = "pending"
ACCEPTED = "accepted"
REJECTED = "rejected"
REVOKED = "revoked"
STATUSES = (PENDING, ACCEPTED, REJECTED, REVOKED)

# A revoked key never comes back: it may be in the wrong hands. The device gets a new key instead.
STEPS = {
    "accept": ((PENDING, REJECTED), ACCEPTED),
    "reject": ((PENDING,), REJECTED),
    "revoke": ((ACCEPTED, REJECTED, PENDING), REVOKED),
}


def step(status: str, action: str) -> str:
    """The status after `action`. Repeating an action that is done changes nothing.

    Raises:
        KosError: the action does not exist or may not follow this status.
    """
    if action not in STEPS:
        raise KosError(f"no such action: {action!r}", hint="one of " + ", ".join(STEPS))
    allowed, result = STEPS[action]
    if status == result:
        return status
    if status not in allowed:
        hint = "give the device a new key" if status == REVOKED else None
        raise KosError(f"a device that is {status} cannot be {result}", hint=hint)
    return result
