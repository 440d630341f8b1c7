"""The data path of carried connections: kos-pump, a process in C that moves bytes and can do nothing else.

What passes comes from strangers, and an event loop in Python costs a small request more than WireGuard does.
Who may connect to what, and how many may, is the relay's business.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import logging
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

# An end that vanished, as a device does whose power went, is noticed though nobody has anything to say to it.
KEEP_ALIVE = {
    socket.TCP_KEEPIDLE: 300,  # seconds
    socket.TCP_KEEPINTVL: 60,  # seconds
    socket.TCP_KEEPCNT: 5,  # unanswered
}
END_TIMEOUT = 10.0  # seconds until kos-pump has ended
_NUMBER = struct.Struct("=I")


class Pump:
    """Carries pairs of connected sockets; for use in one event loop."""

    def __init__(self, program: Path, on_lost: Callable[[int], None]) -> None:
        """Start it.

        Args:
            program: kos-pump.
            on_lost: is called with the number of each pair that is over.
        """
        self._program = program
        self._on_lost = on_lost
        self._numbers = itertools.count(1)
        self._carried: set[int] = set()
        self._queue: collections.deque[tuple[int, socket.socket, socket.socket]] = collections.deque()
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen([str(self._program)], stdin=theirs, stdout=subprocess.DEVNULL)
        ours.setblocking(False)
        self._control, self._ended = ours, False
        asyncio.get_running_loop().add_reader(ours, self._hear)

    def carry(self, first: socket.socket, second: socket.socket) -> int:
        """Take over two connected sockets; → the number of the pair."""
        number = next(self._numbers) & 0xFFFFFFFF
        for sock in (first, second):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEP_ALIVE.items():
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
        if self._ended:
            self._start()
        self._carried.add(number)
        self._queue.append((number, first, second))
        self._send()
        return number

    def _send(self) -> None:
        """Hand over what waits for that."""
        loop = asyncio.get_running_loop()
        while self._queue:
            number, first, second = self._queue[0]
            try:
                socket.send_fds(self._control, [_NUMBER.pack(number)], [first.fileno(), second.fileno()])
            except BlockingIOError:
                loop.add_writer(self._control, self._send)
                return
            except OSError:  # it has ended: so we are told, too
                break
            self._queue.popleft()
            first.close()
            second.close()
        loop.remove_writer(self._control)

    def _hear(self) -> None:
        try:
            while said := self._control.recv(_NUMBER.size):
                (number,) = _NUMBER.unpack(said)
                self._carried.discard(number)
                self._on_lost(number)
        except BlockingIOError:
            return
        except OSError:
            pass  # it ended with pairs of ours unread, which is an end like any other
        code = self._end()
        log.error("kos-pump ended with %s: all connections are over, and the next one starts it again", code)
        for number in self._carried:
            self._on_lost(number)
        self._carried.clear()

    def _end(self) -> int:
        loop = asyncio.get_running_loop()
        self._ended = True
        loop.remove_reader(self._control)
        loop.remove_writer(self._control)
        self._control.close()  # which tells it to end
        for _number, first, second in self._queue:
            first.close()
            second.close()
        self._queue.clear()
        try:
            return self.process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def close(self) -> None:
        """Drop all connections."""
        if not self._ended:
            self._end()
