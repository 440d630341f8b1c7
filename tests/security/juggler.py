"""The Python twin of native/tests/juggler.c: serves a port and, in another thread, uses those of others.

`juggler.py SEED OWN-PORT PORT…`. Prints a number for every `ROUND` steps of the client's thread. SIGUSR1
makes it rest, and go on again. It ends with a traceback when a message comes through a token that it had
revoked, an answer is another's, or a dead token works again.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import deque

from kos import app
from kos.app import Status, StatusError, Token

ROUND = 50
FLAGS = app.FLAG_SEND_PAYLOAD | app.FLAG_SEND_TOKEN
HELD_MAX = 40  # tokens that the client's thread keeps
GIVEN_MAX = 8  # tokens that came to the server's thread and wait for the other one
EXPECTED = {
    Status.AT_TOKEN_LIMIT,
    Status.BAD_REQUEST,
    Status.FULL,
    Status.INTERNAL_ERROR,
    Status.INVALID_TOKEN,
    Status.UNAUTHORIZED,
    Status.UNAVAILABLE,
}

given: deque[Token] = deque(maxlen=GIVEN_MAX)


def serve(seed: int, port: str) -> None:
    choice = random.Random(seed)
    server = app.Server(accept_tokens=True)

    def fresh() -> Token | None:
        try:
            return server.create_token(handle, flags=FLAGS, single_use=choice.random() < 0.15)[0]
        except StatusError as error:
            assert error.status in EXPECTED, error
            return None

    def handle(request: app.Request) -> tuple[int, int, bytes, Token | None]:
        assert request.client in server.connections, "a message of a token that was revoked"
        if request.token:
            given.append(request.token)
        if choice.random() < 0.05:
            others = [each for each in server.connections if each is not request.client]
            for client in choice.sample(others, min(3, len(others))):
                server.revoke(client)
        return Status.OK, request.param + 1, request.payload, fresh() if choice.random() < 0.3 else None

    def trim() -> None:
        for client in server.connections[:-30]:
            server.revoke(client)

    server.bind(port, handle, flags=FLAGS)
    app.ready()
    server.serve(0.002, trim)


def call(choice: random.Random, token: Token, moved: Token | None) -> Token | None:
    """One call; → the token that came with its answer."""
    param, payload = choice.randrange(1 << 20), choice.randbytes(choice.choice([0, 7, 4096]))
    try:
        reply = token.call(1, param, payload, moved, accept_token=choice.random() < 0.6, check=False)
    except StatusError as error:
        assert error.status in EXPECTED, error
        if error.status is Status.INVALID_TOKEN and moved is None:
            try:
                token.call(1)
            except StatusError as again:
                assert again.status is Status.INVALID_TOKEN, again
            else:
                raise AssertionError("a dead token works again") from None
        return None
    if reply.label == Status.OK:
        assert (reply.param, reply.payload) == (param + 1, payload), "an answer is another's"
    return reply.token


def step(choice: random.Random, held: list[Token], ports: list[str]) -> None:
    while given:
        held.append(given.popleft())
    if len(held) > HELD_MAX or (held and choice.random() < 0.05):
        held.pop(choice.randrange(len(held))).delete()
    what = choice.random()
    if what < 0.15 or not held:
        held.append(app.connect(choice.choice(ports), timeout=0))
    else:  # no buffers: the memory of one stays mapped as long as its creator lives
        token = held[choice.randrange(len(held))]
        moved = choice.choice(held) if choice.random() < 0.3 else None
        if moved is token:
            return
        if what < 0.75:
            came = call(choice, token, moved)
            if came:
                held.append(came)
        elif what < 0.9:
            token.send(1, 0, b"x" * choice.choice([0, 100]), moved)
        else:
            token.queue_send(1, b"queued")
    held[:] = [token for token in held if token.slot]


class Rest:
    """SIGUSR1 makes the client's thread keep no token, and go on again."""

    def __init__(self) -> None:
        self.wanted = False
        signal.signal(signal.SIGUSR1, self._turn)

    def _turn(self, *_: object) -> None:
        self.wanted = not self.wanted

    def take(self, held: list[Token]) -> None:
        if self.wanted:
            print("rests", flush=True)
        while self.wanted:
            held.clear()
            given.clear()
            time.sleep(0.005)


def use(seed: int, ports: list[str]) -> None:
    choice, held, count = random.Random(seed), [], 0
    rest = Rest()
    while True:
        count += 1
        rest.take(held)
        try:
            step(choice, held, ports)
        except StatusError as error:
            assert error.status in EXPECTED, error
        if count % ROUND == 0:
            print(count, flush=True)


def ending(work, *arguments: object) -> None:
    """Whatever ends one thread ends the app."""
    try:
        work(*arguments)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
    os._exit(1)


if __name__ == "__main__":
    first = int(sys.argv[1])
    threading.Thread(target=ending, args=(serve, first + 1, sys.argv[2]), daemon=True).start()
    ending(use, first, sys.argv[3:])
