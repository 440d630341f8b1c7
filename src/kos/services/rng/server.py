"""Answer requests for random bytes from the kernel's generator, and from nothing else.

One clear choice: Linux's `getrandom`. It waits, once after power-on, until the generator is seeded, and is
safe across fork and resume. There is no generator, pool or cipher of our own here, and there must be none.
"""

from __future__ import annotations

import os

from kos.abi.message import PAYLOAD_MAX_SIZE
from kos.abi.services import RNG_READ
from kos.abi.status import Status
from kos.services.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer


def answer(_app: str, label: int, param: int, payload: bytes) -> Answer:
    """Answer one message: `RNG_READ` with the number of bytes in `param`."""
    if label != RNG_READ:
        return NOT_IMPLEMENTED
    if payload or not 1 <= param <= PAYLOAD_MAX_SIZE:
        return BAD_REQUEST
    # os.urandom is getrandom(2) without flags, and it completes a read that a signal cut short.
    return Answer(Status.OK, param, os.urandom(param))
