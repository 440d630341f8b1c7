"""Speaks with the guest through its console's port: says hello, keeps a copy of its data, asks how it is."""

from __future__ import annotations

import time

from kos import app
from kos.abi.services import (
    VM_CONSOLE_READ,
    VM_CONSOLE_WRITE,
    VM_SNAPSHOT,
    VM_SNAPSHOT_READ,
    VM_STATUS,
)

PORT = "guest_console_protocol"
PAUSE = 0.2  # seconds between two looks at the console


def main() -> None:
    app.ready()
    console = app.connect(PORT)
    position = read_until(console, 0, b"guest: ready")
    console.call(VM_CONSOLE_WRITE, payload=b"hello\n")
    read_until(console, position, b"guest: hello to you")
    print("the guest said hello")
    pieces = console.call(VM_SNAPSHOT, payload=b"data.img").param
    first = bytes(console.call(VM_SNAPSHOT_READ, 0, b"data.img").payload)
    print(f"a copy of its data has {pieces} pieces and begins with {first[:8].decode()!r}")
    print("status", console.call(VM_STATUS).payload.decode())
    while True:
        time.sleep(3600)


def read_until(console: app.Token, position: int, wanted: bytes) -> int:
    """Read the console from `position` on until it holds `wanted`; → the position after it."""
    seen = b""
    while wanted not in seen:
        reply = console.call(VM_CONSOLE_READ, position)
        position = reply.param
        seen += bytes(reply.payload)
        if not reply.payload:
            time.sleep(PAUSE)
    return position
