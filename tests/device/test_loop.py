"""The event loop."""

from __future__ import annotations

import os
import signal

from kos.device.loop import Loop


def test_timers_fire_in_order_and_can_be_taken_back() -> None:
    loop = Loop()
    fired: list[str] = []
    loop.call_later(0.02, lambda: (fired.append("late"), loop.stop()))
    loop.call_later(0.01, lambda: fired.append("early"))
    loop.call_later(0.005, lambda: fired.append("never")).cancel()
    loop.run()
    loop.close()
    assert fired == ["early", "late"]


def test_descriptors() -> None:
    loop = Loop()
    read_end, write_end = os.pipe()
    taken: list[bytes] = []

    def take() -> None:
        taken.append(os.read(read_end, 100))
        if not taken[-1]:
            loop.unwatch(read_end)
            loop.stop()

    loop.watch(read_end, take)
    os.write(write_end, b"hello")
    os.close(write_end)
    loop.run()
    os.close(read_end)
    loop.close()
    assert taken == [b"hello", b""]


def test_unwatched_in_the_same_round_is_not_called() -> None:
    loop = Loop()
    pipes = [os.pipe(), os.pipe()]
    called: list[int] = []
    for (read_end, write_end), (other, _) in ((pipes[0], pipes[1]), (pipes[1], pipes[0])):
        os.write(write_end, b"x")

        def first_only(mine: int = read_end, theirs: int = other) -> None:
            called.append(mine)
            loop.unwatch(theirs)
            loop.stop()

        loop.watch(read_end, first_only)
    loop.run()
    loop.close()
    for ends in pipes:
        for fd in ends:
            os.close(fd)
    assert len(called) == 1


def test_signals_arrive_in_the_loop() -> None:
    previous = signal.getsignal(signal.SIGUSR1)
    loop = Loop()
    numbers: list[int] = []

    def arrived(number: int) -> None:
        numbers.append(number)
        loop.stop()

    loop.on_signals([signal.SIGUSR1], arrived)
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run()
    loop.close()
    signal.signal(signal.SIGUSR1, previous)
    assert numbers == [signal.SIGUSR1]
