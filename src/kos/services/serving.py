"""Put a service's logic on a port. The only module here that knows how messages travel."""

from __future__ import annotations

from kos.app import Request, Server, Status, StatusError
from kos.services.answer import Handler


def bind(server: Server, port: str, handler: Handler) -> None:
    """Serve `port` with `handler`, which is told the name of the app that asks."""

    def handle(request: Request) -> tuple[int, int, bytes]:
        answer = handler(request.client.name, request.label, request.param, bytes(request.payload))
        return int(answer.status), answer.param, answer.payload

    server.bind(port, handle, connect=_learn_name)


def _learn_name(request: Request) -> None:
    """Ask for the client's name while it is sure to be there: its last message may outlive it."""
    _ = request.client.name


def bind_if_granted(server: Server, port: str, handler: Handler) -> bool:
    """The same for a port that the manifest may leave out; whether it is there."""
    try:
        bind(server, port, handler)
    except StatusError as error:
        if error.status is not Status.NOT_FOUND:
            raise
        return False
    return True
