"""The data path of carried connections: what one end hears, the other end says.

One thread waits for all of them (epoll) and moves bytes through one buffer: an event loop that makes objects
of every read and write costs a small request more than WireGuard does. It decides nothing: who may connect to
what, and how many may, is the relay's business.

What a slow reader costs is bounded: while bytes wait for one end, the other one is not read.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import select
import socket
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

BUFFER = 64 << 10  # bytes that may wait for one end of a connection, beside what the kernel holds
FLUSH_TIMEOUT = 60_000  # ms without progress after which an end loses what its failed peer left for it
# An end that vanished, as a device does whose power went, is noticed though nobody has anything to say to it.
KEEP_ALIVE = {
    socket.TCP_KEEPIDLE: 300,  # seconds
    socket.TCP_KEEPINTVL: 60,  # seconds
    socket.TCP_KEEPCNT: 5,  # unanswered
}
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_NOTHING = -1  # is watched for, not even failure


class _End:
    """One socket of a connection."""

    __slots__ = ("descriptor", "ended", "first", "mask", "orphan", "other", "shut", "socket", "waiting")
    other: _End

    def __init__(self, sock: socket.socket, first: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEP_ALIVE.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        self.socket = sock
        self.first = first  # by which others know the pair
        self.descriptor = sock.fileno()
        self.mask = _NOTHING
        self.waiting = b""  # for its peer to take
        self.ended = False  # its peer has said all it will
        self.shut = False  # and so have we
        self.orphan = False  # the other end has failed: this one only gets what waits


class Pump:
    """Carries pairs of connected sockets in a thread of its own."""

    def __init__(self, on_lost: Callable[[socket.socket], None]) -> None:
        """`on_lost` is called in the pump's thread with the first socket of each pair that is over."""
        self._on_lost = on_lost
        self._ends: dict[int, _End] = {}
        self._new: collections.deque[tuple[socket.socket, socket.socket]] = collections.deque()
        self._stop = False
        self._view = memoryview(bytearray(BUFFER))
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, _IN)
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)
        self._thread.start()

    def carry(self, first: socket.socket, second: socket.socket) -> None:
        """Take over two connected sockets. Any thread."""
        self._new.append((first, second))
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Drop all connections and end the thread."""
        self._stop = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._epoll.close()
        os.close(self._wake)

    # --- in the thread ------------------------------------------------------------------------------------
    def _run(self) -> None:
        poll, ends = self._epoll.poll, self._ends
        while not self._stop:
            for descriptor, events in poll():
                end = ends.get(descriptor)
                try:
                    if end is None:  # our own, or closed in this very round
                        if descriptor == self._wake:
                            os.eventfd_read(self._wake)
                    elif events & _OUT:
                        self._flush(end)
                    elif events & _IN:
                        self._read(end)
                    else:
                        self._fail(end)
                except Exception:  # a fault of ours or a lack of memory costs one connection
                    log.exception("a connection is dropped")
                    if end is not None:
                        self._drop(end)
            # After the round, so that an event of a descriptor that was closed in it is not taken for one of
            # the new connection that got its number.
            while self._new:
                self._add(*self._new.popleft())
        for end in list(self._ends.values()):
            self._close(end)
        while self._new:
            for sock in self._new.popleft():
                sock.close()

    def _add(self, first: socket.socket, second: socket.socket) -> None:
        try:
            one, other = _End(first, first), _End(second, first)
            one.other, other.other = other, one
            for end in (one, other):
                self._ends[end.descriptor] = end
                self._watch(end)
        except OSError as error:
            log.warning("a connection is dropped: %s", error.strerror)
            for sock in (first, second):
                self._ends.pop(sock.fileno(), None)
                sock.close()
            self._on_lost(first)

    def _read(self, end: _End) -> None:
        """Move what an end's peer has said."""
        other = end.other
        try:
            count = end.socket.recv_into(self._view)
        except BlockingIOError:
            return
        except OSError:
            self._fail(end)
            return
        if not count:
            end.ended = True
            self._watch(end)
            if not other.waiting:
                self._finish(other)
            return
        try:
            sent = other.socket.send(self._view[:count])
        except BlockingIOError:
            sent = 0
        except OSError:
            self._fail(other)
            return
        if sent < count:
            other.waiting = bytes(self._view[sent:count])
            self._watch(end)
            self._watch(other)

    def _flush(self, end: _End) -> None:
        """Send on what waits for an end's peer."""
        try:
            sent = end.socket.send(end.waiting)
        except BlockingIOError:
            return
        except OSError:
            self._fail(end)
            return
        end.waiting = end.waiting[sent:]
        if end.waiting:
            return
        if end.orphan:
            self._drop(end)
        elif end.other.ended:
            self._finish(end)
        else:
            self._watch(end)
            self._watch(end.other)

    def _finish(self, end: _End) -> None:
        """Nothing more will come for this end: say so to its peer, which may go on speaking."""
        if end.ended and end.other.shut:
            self._drop(end)
            return
        try:
            end.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._fail(end)
            return
        end.shut = True
        self._watch(end)

    def _fail(self, end: _End) -> None:
        """An end is broken. The other one still gets what waits for it."""
        other = end.other
        if end.orphan or not other.waiting:
            self._drop(end)
            return
        self._close(end)
        other.orphan = True
        with contextlib.suppress(OSError):
            other.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, FLUSH_TIMEOUT)
        self._watch(other)

    def _drop(self, end: _End) -> None:
        """The pair is over."""
        self._close(end)
        self._close(end.other)
        self._on_lost(end.first)

    def _close(self, end: _End) -> None:
        if self._ends.get(end.descriptor) is end:  # else it is closed, and its number may be another's
            del self._ends[end.descriptor]
            end.socket.close()  # with which epoll forgets it

    def _watch(self, end: _End) -> None:
        """Wait for what this end can do something with now."""
        read = not (end.ended or end.orphan or end.other.waiting)
        if end.waiting or read:
            mask = (_OUT if end.waiting else 0) | (_IN if read else 0)
        elif end.ended and not end.shut:
            mask = 0  # whether it fails
        else:
            # Not even that: of a peer that hung up epoll would tell again and again while we do not read.
            mask = _NOTHING
        if mask == end.mask:
            return
        if end.mask == _NOTHING:
            self._epoll.register(end.descriptor, mask)
        elif mask == _NOTHING:
            self._epoll.unregister(end.descriptor)
        else:
            self._epoll.modify(end.descriptor, mask)
        end.mask = mask
