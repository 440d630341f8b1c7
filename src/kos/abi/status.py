"""Status codes of the message server and of libkos. Values are part of the ABI: append, never renumber."""

from enum import IntEnum


class Status(IntEnum):
    """The outcome of an operation. `OK` and `CREATED` and `PONG` are successes."""

    OK = 128
    CREATED = 129
    PONG = 130
    AT_TOKEN_LIMIT = 131
    BAD_REQUEST = 132
    CONFLICT = 133
    FULL = 134
    INTERNAL_ERROR = 135
    INVALID_TOKEN = 136
    NO_REPLY = 137
    NOT_ENOUGH_MEMORY = 138
    NOT_FOUND = 139
    NOT_IMPLEMENTED = 140
    UNAUTHORIZED = 141
    UNAVAILABLE = 142


MEANINGS = {
    Status.OK: "done",
    Status.CREATED: "done, and something new exists",
    Status.PONG: "the message server is alive",
    Status.AT_TOKEN_LIMIT: "no free token slot, or no room for one more mailbox",
    Status.BAD_REQUEST: "an argument is out of its range, or the operation makes no sense here",
    Status.CONFLICT: "the slot, the port or the name is already in use",
    Status.FULL: "a bounded queue or buffer has no room; nothing was sent",
    Status.INTERNAL_ERROR: "the other side failed in a way that it did not foresee",
    Status.INVALID_TOKEN: "the slot holds no token, or one that was revoked, used up or is stale",
    Status.NO_REPLY: "there is nothing to receive yet",
    Status.NOT_ENOUGH_MEMORY: "memory for it could not be had",
    Status.NOT_FOUND: "there is no such thing, or the manifest does not grant it: an app cannot tell which",
    Status.NOT_IMPLEMENTED: "the server app does not know this label",
    Status.UNAUTHORIZED: "the token's flags do not allow it",
    Status.UNAVAILABLE: "the app that serves this is not running, or died before it answered",
}

# The one error number of the microkernel that existing apps compare with.
KOS_SYS_ERRNO_INVALID_ARGUMENT = 22
