"""Tokens: permission to speak to another app, and the messages that go through them.

A token is moved, never copied: once it was sent along with a message, the object here is empty. Waiting calls
release the interpreter's lock and can be interrupted by a signal handler that raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from kos.abi.message import FLAG_SEND_PAYLOAD, FLAG_SEND_TOKEN, PAYLOAD_MAX_SIZE
from kos.abi.status import Status
from kos.app import _native
from kos.app.status import StatusError, is_failure

_native.register(StatusError)

OK = int(Status.OK)
Payload = bytes | bytearray | memoryview

RETRY_FIRST = 0.01  # seconds until a port that nobody serves yet is asked for again; doubles each time
RETRY_MAX = 0.5


class Message:
    """A message or a reply: label, param, payload and, where one came along, a token.

    In a reply the label is a status.
    """

    __slots__ = ("label", "param", "payload", "token")

    def __init__(
        self, label: int, param: int = 0, payload: Payload = b"", token: Token | None = None
    ) -> None:
        self.label = label
        self.param = param
        self.payload = payload
        self.token = token

    def __repr__(self) -> str:
        return f"Message({self.label}, {self.param}, {len(self.payload)} bytes, {self.token})"

    def __iter__(self) -> Iterator[object]:
        return iter((self.label, self.param, self.payload, self.token))


class Token:
    """A token in one of this app's 64 slots. When the object is gone, so is the token.

    Attributes:
        slot: the slot's number; 0 once the token was sent away or deleted.
    """

    __slots__ = ("slot",)

    def __init__(self, slot: int) -> None:
        self.slot = slot

    def __repr__(self) -> str:
        return f"Token(slot {self.slot})"

    def call(
        self,
        label: int,
        param: int = 0,
        payload: Payload = b"",
        token: Token | None = None,
        *,
        accept_token: bool = False,
        check: bool = True,
    ) -> Message:
        """Send and wait for the reply.

        Args:
            token: moves to the server with the message.
            accept_token: whether a token in the reply is wanted; otherwise it is dropped.
            check: raise when the reply's label is a failure; False returns it like any other.

        Raises:
            StatusError: the call could not be made, or `check` found a failure.
        """
        flags = FLAG_SEND_PAYLOAD | FLAG_SEND_TOKEN if accept_token else FLAG_SEND_PAYLOAD
        moved = token.slot if token else 0
        label, param, data, slot = _native.call(self.slot, flags, label, param, payload, moved)
        if token:
            token.delete()
        reply = Message(label, param, data, Token(slot) if slot else None)
        if check and label != OK and is_failure(label):
            raise StatusError(label)
        return reply

    def send(self, label: int, param: int = 0, payload: Payload = b"", token: Token | None = None) -> None:
        """Send without a reply; waits only until the message before this one was taken."""
        _native.send(self.slot, label, param, payload, token.slot if token else 0)
        if token:
            token.delete()

    def queue_send(self, label: int, data: Payload = b"") -> bool:
        """Put at most 56 bytes into the bounded queue without waiting; False when it is full."""
        try:
            _native.queue_send(self.slot, label, data)
        except StatusError as error:
            if error.status is not Status.FULL:
                raise
            return False
        return True

    @property
    def flags(self) -> int:
        """What the token allows; raises StatusError when it no longer works."""
        return _native.token_info(self.slot)

    def buffer(self) -> memoryview:
        """The shared memory behind a buffer token, read-only. Its creator may change it at any time."""
        return _native.buffer_map(self.slot)

    def delete(self) -> None:
        """Give the token up; of one that was sent away, only its slot is left to give back."""
        slot, self.slot = self.slot, 0
        if slot:
            _native.token_free(slot)

    # Bound early: at the end of the interpreter the module's names may be gone before its objects.
    def __del__(self, _free: Callable[[int], None] = _native.token_free) -> None:
        if self.slot:
            _free(self.slot)


def connect(
    port: str,
    *,
    param: int = 0,
    payload: Payload = b"",
    timeout: float = 30.0,
) -> Token:
    """Ask the server app of a port for a connection.

    Args:
        port: its name; the manifest must grant it to this app as a client.
        param, payload: go to the server app with the request.
        timeout: seconds to keep trying while nobody serves the port; 0 tries once.

    Raises:
        StatusError: NOT_FOUND when the manifest does not grant it, UNAVAILABLE when nobody served it in time,
            or what the server app answered.
    """
    deadline, pause = time.monotonic() + timeout, RETRY_FIRST
    while True:
        try:
            _label, _param, _payload, slot = _native.request(
                port, FLAG_SEND_TOKEN | FLAG_SEND_PAYLOAD, param, payload
            )
        except StatusError as error:
            left = deadline - time.monotonic()
            if error.status is not Status.UNAVAILABLE or left <= 0:
                raise
            _native.ping()  # it is the port that is not there, not the message server
            time.sleep(min(pause, left))
            pause = min(pause * 2, RETRY_MAX)
        else:
            if not slot:  # it said OK and gave nothing
                raise StatusError(Status.INVALID_TOKEN)
            return Token(slot)


def create_buffer(size: int) -> tuple[Token, memoryview]:
    """Shared memory that this app may write and whoever gets the token may read.

    The memory stays mapped for the life of this process.
    """
    slot, memory = _native.buffer_create(size)
    return Token(slot), memory


__all__ = ["PAYLOAD_MAX_SIZE", "Message", "Token", "connect", "create_buffer"]
