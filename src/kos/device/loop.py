"""A small event loop: descriptors, timers and signals, one thread.

It calls back and nothing else. A callback that raises ends the loop: a supervisor must not go on half broken.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable

Callback = Callable[[], None]


class Timer:
    """A call in the future that can be taken back."""

    def __init__(self, when: float, callback: Callback) -> None:
        self.when = when
        self._callback: Callback | None = callback

    @property
    def pending(self) -> bool:
        return self._callback is not None

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback:
            callback()


class Loop:
    """Waits for readable descriptors and due timers until `stop`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._running = False
        self._wake: tuple[int, int] | None = None
        self._signals: list[int] = []

    def watch(self, fd: int, callback: Callback) -> None:
        """Call back whenever `fd` is readable or its other end is gone."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        self._selector.unregister(fd)

    def call_later(self, seconds: float, callback: Callback) -> Timer:
        timer = Timer(time.monotonic() + seconds, callback)
        heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        return timer

    def on_signals(self, numbers: Iterable[int], callback: Callable[[int], None]) -> None:
        """Call back in the loop, not in the handler, when one of the signals arrives."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wake = (read_end, write_end)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        self._signals = list(numbers)
        for number in self._signals:
            signal.signal(number, lambda *_: None)

        def woken() -> None:
            for number in os.read(read_end, 64):
                callback(number)

        self.watch(read_end, woken)

    def run(self) -> None:
        self._running = True
        while self._running:
            for key, _ in self._selector.select(self._patience()):
                # An earlier callback of this round may have unwatched this descriptor, and a new one may have
                # got its number.
                if self._selector.get_map().get(key.fd) == key:
                    key.data()
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2].fire()

    def stop(self) -> None:
        self._running = False

    def close(self) -> None:
        if self._wake:
            signal.set_wakeup_fd(-1)
            for number in self._signals:
                signal.signal(number, signal.SIG_IGN)  # what is left is the way out: nothing may cut it short
            for fd in self._wake:
                os.close(fd)
        self._selector.close()

    def _patience(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
