"""What a service answers to one message. Pure: no transport here.

Like all of these services it imports neither `typing` nor `dataclasses`: a core app must start in tens of
milliseconds on a small board, and those two alone take longer than the rest.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable

from kos.abi.status import Status


class Answer(namedtuple("_Answer", "status param payload", defaults=(0, b""))):
    """A reply: `Status`, which travels in the label, a whole number and bytes."""

    __slots__ = ()


# A service's logic: the calling app's name, then the message's label, param and payload.
Handler = Callable[[str, int, int, bytes], Answer]

BAD_REQUEST = Answer(Status.BAD_REQUEST)
NOT_IMPLEMENTED = Answer(Status.NOT_IMPLEMENTED)
