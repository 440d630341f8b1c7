"""What a service answers to one message. Pure: no transport here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kos.abi.status import Status


class Answer(NamedTuple):
    """A reply: the status travels in the label."""

    status: Status
    param: int = 0
    payload: bytes = b""


# A service's logic: the calling app's name, then the message's label, param and payload.
Handler = Callable[[str, int, int, bytes], Answer]

BAD_REQUEST = Answer(Status.BAD_REQUEST)
NOT_IMPLEMENTED = Answer(Status.NOT_IMPLEMENTED)
