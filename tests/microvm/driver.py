"""The visitor of the example, for tests: makes the guest eat its memory, and sees it restarted."""

from __future__ import annotations

import time

from kos import app
from kos.abi.services import VM_CONSOLE_READ, VM_CONSOLE_WRITE, VM_STATUS

PORT = "guest_console_protocol"
PAUSE = 0.5  # seconds between two looks at the console


def main() -> None:
    app.ready()
    token = reach(b"guest: ready")
    token.call(VM_CONSOLE_WRITE, payload=b"hello\n")
    reach(b"guest: hello to you")
    print("the guest said hello")
    print("status", token.call(VM_STATUS).payload.decode())
    token.call(VM_CONSOLE_WRITE, payload=b"eat\n")
    reach(b"Kernel panic", gone_is_enough=True)
    print("the guest has eaten its memory")
    reach(b"writable, start 2")
    reach(b"guest: ready")
    print("the guest is back")
    while True:
        time.sleep(3600)


def reach(wanted: bytes, *, gone_is_enough: bool = False) -> app.Token:
    """Read the console until it holds `wanted`, over restarts of the guest; → a token for it."""
    token, position, seen = None, 0, b""
    while wanted not in seen:
        try:
            if token is None:
                token, position, seen = app.connect(PORT), 0, b""
            reply = token.call(VM_CONSOLE_READ, position)
        except app.StatusError:
            if gone_is_enough:
                break
            token = None
            time.sleep(PAUSE)
            continue
        position, piece = reply.param, bytes(reply.payload)
        seen += piece
        if not piece:
            time.sleep(PAUSE)
    return token
