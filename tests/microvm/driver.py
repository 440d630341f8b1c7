"""The visitor of the example, for tests: makes the guest misbehave in every way, and says what came of it.

It is the guest's neighbour too: it has a network of its own, and listens there for whoever should not come.
"""

from __future__ import annotations

import json
import re
import socket
import time

from kos import app
from kos.abi.services import VM_CONSOLE_READ, VM_CONSOLE_WRITE, VM_SNAPSHOT, VM_SNAPSHOT_READ, VM_STATUS

PORT = "guest_console_protocol"
NEIGHBOUR = "10.90.1.3"
PAUSE = 0.5  # seconds between two looks at the console
SERVER = "10.90.0.1"
SCANNED = "22 80 4182 8080"
SCANS = 10  # of the server: a guest gives each port two seconds, which a busy machine may need
FLOOD_KIB = 2 << 10  # twice what the console takes at once; in nested emulation each piece is dear


def main() -> None:
    app.ready()
    guest = Guest()
    guest.reach(b"guest: ready")
    # Before anything is typed: the guest may say both in one piece, and typing forgets what was said.
    guest.reach(b"the server was reached through the tunnel")
    guest.type("hello")
    guest.reach(b"guest: hello to you")
    print("the guest said hello", flush=True)
    snapshot(guest)
    print("status", json.dumps(status(guest)), flush=True)
    scan(guest)
    guest.type("fill")
    guest.reach(b"guest: the disk is full")
    print("the guest has filled its disk", flush=True)
    before = time.monotonic()
    guest.type(f"flood {FLOOD_KIB}")
    guest.reach(b"guest: the flood is over")
    print(f"the guest has flooded its console for {time.monotonic() - before:.1f} s", flush=True)
    for word, start in (("eat", 2), ("panic", 3)):
        guest.type(word)
        guest.reach(b"Kernel panic", gone_is_enough=True)
        print(f"the guest is gone after {word}", flush=True)
        guest.reach(f"writable, start {start}".encode())
        guest.reach(b"guest: ready")
        print(f"the guest is back after {word}", flush=True)
    while True:
        time.sleep(3600)


def status(guest: Guest) -> dict:
    """The guest's counters. QEMU has a second to tell those of its disks, which a busy machine may need."""
    while "disks_error" in (found := json.loads(guest.token.call(VM_STATUS).payload)):
        time.sleep(PAUSE)
    return found


def snapshot(guest: Guest) -> None:
    """Keep a copy of a disk, and see that there is none of another one."""
    pieces = guest.token.call(VM_SNAPSHOT, payload=b"data.img").param
    first = bytes(guest.token.call(VM_SNAPSHOT_READ, 0, b"data.img").payload)
    beyond = bytes(guest.token.call(VM_SNAPSHOT_READ, pieces, b"data.img").payload)
    print(f"snapshot of {pieces} pieces, {first[:8]!r}, {len(beyond)} beyond", flush=True)
    try:
        guest.token.call(VM_SNAPSHOT, payload=b"journal.img")
    except app.StatusError as error:
        print("no snapshot:", error.status.name, flush=True)


def scan(guest: Guest) -> None:
    """Have the guest look for everything that it should not find."""
    with socket.create_server((NEIGHBOUR, 8080)) as listener:
        for address in ("127.0.0.1", "10.0.2.2", "10.0.2.3", NEIGHBOUR, "10.90.1.2", *[SERVER] * SCANS):
            guest.type(f"scan {address} {SCANNED}")
            found = guest.reach(rf"guest: scan of {re.escape(address)}: (.*) open".encode())
            if address == SERVER and found and found[1] != b"nothing":
                break
        listener.setblocking(False)
        try:
            listener.accept()
            print("the neighbour was reached", flush=True)
        except BlockingIOError:
            print("nobody came to the neighbour", flush=True)


class Guest:
    """The console of the guest, over its restarts."""

    def __init__(self) -> None:
        self.token: app.Token | None = None
        self._position = 0
        self._seen = b""

    def type(self, line: str) -> None:
        """Type a line; what was there before is not looked at again."""
        self._seen = b""
        self.token.call(VM_CONSOLE_WRITE, payload=line.encode() + b"\n")

    def reach(self, wanted: bytes, *, gone_is_enough: bool = False) -> re.Match[bytes] | None:
        """Read until the console holds the pattern; None when the guest is gone, and that is enough."""
        while (found := re.search(wanted, self._seen)) is None:
            try:
                if self.token is None:
                    self.token, self._position, self._seen = app.connect(PORT), 0, b""
                reply = self.token.call(VM_CONSOLE_READ, self._position)
            except app.StatusError:
                self.token = None
                if gone_is_enough:
                    return None
                time.sleep(PAUSE)
                continue
            self._position = reply.param
            self._seen = self._seen[-(1 << 20) :] + bytes(reply.payload)
            if not reply.payload:
                time.sleep(PAUSE)
        return found
