"""Serve ports: one loop, a handler for each port, a connection for each client.

Who speaks is known from the badge of the token that the message came through, never from its bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from kos.abi.message import (
    FLAG_SEND_PAYLOAD,
    METADATA_ONE_WAY,
    METADATA_QUEUED,
    TOKEN_FLAG_SINGLE_USE,
)
from kos.abi.status import Status
from kos.app import _native
from kos.app.status import StatusError
from kos.app.token import Message, Payload, Token

# Badges of connection requests, above those of clients; both fit the registers of a 32-bit machine.
REQUEST_BADGE_FIRST = 0x8000_0000
REQUEST_LABEL = 0


class Connection:
    """One client of one port: the app behind a badge.

    Attributes:
        badge: of the tokens that the client holds.
        port: the port that it asked for; "" for a token that was made by `Server.create_token`.
        caller_id: the message server's number of the app; it stays the same when the app is restarted.
        data: whatever the server app wants to keep for this client.
    """

    __slots__ = ("_name", "badge", "caller_id", "data", "handle", "port")

    def __init__(self, badge: int, port: str, caller_id: int, handle: Handler) -> None:
        self.badge = badge
        self.port = port
        self.caller_id = caller_id
        self.handle = handle
        self.data: object = None
        self._name: str | None = None

    @property
    def name(self) -> str:
        """The manifest's name of the client app."""
        if self._name is None:
            self._name = _native.app_name(self.caller_id)
        return self._name


class Request(Message):
    """A message from a client.

    Attributes:
        client: the connection it came through.
        one_way: nobody waits for a reply.
        queued: it came through the bounded queue.
    """

    __slots__ = ("_marks", "client")

    def __init__(
        self, label: int, param: int, payload: bytes, token: Token | None, client: Connection, marks: int
    ) -> None:
        # All here and nothing worked out before it is asked for: this runs for every message.
        self.label = label
        self.param = param
        self.payload = payload
        self.token = token
        self.client = client
        self._marks = marks

    @property
    def queued(self) -> bool:
        return bool(self._marks & METADATA_QUEUED)

    @property
    def one_way(self) -> bool:
        return bool(self._marks & (METADATA_QUEUED | METADATA_ONE_WAY))


OK = int(Status.OK)
# The label, param, payload and token of an answer.
Answer = tuple[int, int, Payload, Token | None]
NOTHING: Answer = (OK, 0, b"", None)
FAILURE: Answer = (int(Status.INTERNAL_ERROR), 0, b"", None)

# What a handler may return: nothing (OK), a payload (OK, with its size as param), or a message's label,
# param, payload and token, of which the last ones may be left out.
Result = Message | Payload | tuple | None
Handler = Callable[[Request], Result] | dict[int, Callable[[Request], Result]]


class Server:
    """The server side of an app. One for each process; `serve` may run in one thread.

    A handler that raises StatusError answers with that status; any other exception is printed with its
    traceback and answered with INTERNAL_ERROR, and the server goes on: one client's message must not end the
    service of the others.
    """

    def __init__(self, *, accept_tokens: bool = False) -> None:
        """`accept_tokens`: whether clients may send tokens; otherwise they are refused."""
        self._accept_tokens = accept_tokens
        self._ports: dict[int, _Port] = {}
        self._connections: dict[int, Connection] = {}
        self._badges: dict[tuple[str, int], int] = {}
        self._next_badge = 1
        self._running = False

    def bind(
        self,
        port: str,
        handle: Handler,
        *,
        flags: int = FLAG_SEND_PAYLOAD,
        connect: Callable[[Request], None] | None = None,
    ) -> None:
        """Serve a port.

        Args:
            port: its name; the manifest must grant it to this app as a server.
            handle: called with each Request; or a dict from label to such a function.
            flags: what clients' tokens allow (FLAG_SEND_PAYLOAD, FLAG_SEND_TOKEN, TOKEN_FLAG_SINGLE_USE).
            connect: called with each request for a connection; raises StatusError to refuse it, may set
                `request.client.data`.
        """
        badge = REQUEST_BADGE_FIRST + len(self._ports)
        _native.bind(port, REQUEST_LABEL, badge, FLAG_SEND_PAYLOAD)
        self._ports[badge] = _Port(port, handle, flags, connect)

    def unbind(self, port: str) -> None:
        """Stop giving out connections; those that exist go on."""
        _native.unbind(port)

    def create_token(
        self,
        handle: Handler,
        *,
        flags: int = FLAG_SEND_PAYLOAD,
        single_use: bool = False,
        data: object = None,
    ) -> tuple[Token, Connection]:
        """A token to hand out in a message: what is sent through it comes to `handle`."""
        connection = self._new_connection("", 0, handle)
        connection.data = data
        flags |= TOKEN_FLAG_SINGLE_USE if single_use else 0
        return Token(_native.token_create(connection.badge, flags)), connection

    def revoke(self, connection: Connection) -> None:
        """Stop every token of a connection, wherever it is."""
        _native.token_revoke(connection.badge)
        self._connections.pop(connection.badge, None)

    def dropped(self, connection: Connection) -> int:
        """How many queued messages were dropped on the way from that client."""
        return _native.queue_dropped(connection.badge)

    @property
    def connections(self) -> list[Connection]:
        """Every client that was given a token and not revoked since."""
        return list(self._connections.values())

    def serve(self, interval: float | None = None, every: Callable[[], None] | None = None) -> None:
        """Handle messages until `stop`.

        Args:
            interval: seconds of silence after which `every` is called.
            every: work of the app's own.

        Raises:
            StatusError: UNAVAILABLE when the message server is gone.
        """
        self._running = True
        wait = -1 if interval is None else int(interval * 1_000_000)
        receive, answer = _native.reply_receive, self._answer
        label, param, payload, token = NOTHING
        received = None
        while self._running:
            sent = token
            try:
                received = receive(label, param, payload, sent.slot if sent else 0, self._accept_tokens, wait)
            except StatusError as error:
                if error.status is not Status.NO_REPLY:
                    raise
                label, param, payload, token = NOTHING
                received = None
                if every:
                    every()
            except (TypeError, ValueError, OverflowError):
                if received is None:
                    raise
                sys.excepthook(*sys.exc_info())  # what the handler returned cannot be sent
                label, param, payload, token = FAILURE
                received = None
            else:
                label, param, payload, token = answer(*received)
            finally:
                if sent:
                    sent.delete()
        try:
            _native.reply(label, param, payload, token.slot if token else 0)
        finally:
            if token:
                token.delete()

    def stop(self) -> None:
        """End `serve` after the message that is being handled."""
        self._running = False

    def _answer(
        self, label: int, param: int, payload: bytes, slot: int, badge: int, caller: int, marks: int
    ) -> Answer:
        token = Token(slot) if slot else None
        try:
            client = self._connections.get(badge)
            if client is None:
                port = self._ports.get(badge)
                if port is None:
                    raise StatusError(Status.INVALID_TOKEN)
                return self._connect(port, param, payload, caller)
            client.caller_id = caller
            handle = client.handle
            if isinstance(handle, dict):
                handle = handle.get(label, _not_implemented)
            result = handle(Request(label, param, payload, token, client, marks))
            if result is None:
                return NOTHING
            if type(result) is bytes:
                return (OK, len(result), result, None)
            return _result(result)
        except StatusError as error:
            return (error.status, 0, b"", None)
        except Exception:
            sys.excepthook(*sys.exc_info())
            return FAILURE

    def _connect(self, port: _Port, param: int, payload: bytes, caller: int) -> Answer:
        """Give the app a token; asked again, as after its restart, it keeps its badge and starts afresh."""
        badge = self._badges.get((port.name, caller))
        connection = self._new_connection(port.name, caller, port.handle, badge)
        if port.connect:
            try:
                port.connect(Request(REQUEST_LABEL, param, payload, None, connection, 0))
            except BaseException:
                del self._connections[connection.badge]
                raise
        self._badges[port.name, caller] = connection.badge
        return (OK, 0, b"", Token(_native.token_create(connection.badge, port.flags)))

    def _new_connection(
        self, port: str, caller: int, handle: Handler, badge: int | None = None
    ) -> Connection:
        if badge is None:
            badge = self._next_badge
            self._next_badge += 1
        connection = self._connections[badge] = Connection(badge, port, caller, handle)
        return connection


class _Port:
    __slots__ = ("connect", "flags", "handle", "name")

    def __init__(
        self, name: str, handle: Handler, flags: int, connect: Callable[[Request], None] | None
    ) -> None:
        self.name = name
        self.handle = handle
        self.flags = flags
        self.connect = connect


def _not_implemented(_request: Request) -> None:
    raise StatusError(Status.NOT_IMPLEMENTED)


def _result(result: Message | Payload | tuple) -> Answer:
    """What a handler returned, in full. Raises TypeError for what is none of these."""
    if isinstance(result, Message):
        return (result.label, result.param, result.payload, result.token)
    if isinstance(result, tuple):
        return tuple(Message(*result))
    return (OK, len(result), result, None)
