"""Connections through the gateway's relay: bytes and ends arrive as sent, whoever is slow, breaks or lies."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from kos.build import native
from kos.network.namespaces import own_network_namespace
from kos.server.gateway import relay as relay_module
from kos.server.gateway.relay import SOURCE, Relay
from kos.server.gateway.settings import Service
from tests.network.lab import wait_for

pytestmark = pytest.mark.group("network")

TIMEOUT = 60.0  # seconds for anything to happen on a busy machine
DATA = os.urandom(1 << 20) * 8


class Running:
    """A relay in a loop and thread of its own, on this machine's loopback, in front of a listener of ours."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.service = socket.create_server(("127.0.0.1", 0))
        self.service.settimeout(TIMEOUT)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        namespace = own_network_namespace()
        try:
            self.relay = Relay(namespace, "127.0.0.1", native.pump())
            self.run(self.relay.listen(Service("test", 0, host, self.service.getsockname()[1])))
        finally:
            os.close(namespace)
        self.port = self.relay.ports()[0]

    def run(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """A device's end and the service's of one connection."""
        device = self.connect()
        inner, _ = self.service.accept()
        inner.settimeout(TIMEOUT)
        return device, inner

    def open(self) -> int:
        return self.relay.open_connections

    def close(self) -> None:
        self.run(self.relay.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.service.close()


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.close()


def read_all(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def reset(sock: socket.socket) -> None:
    """Close as whoever is killed in the middle does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def is_over(sock: socket.socket) -> bool:
    """Whether a socket hears its end, in order or not."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


@contextlib.contextmanager
def ends(running, first):
    """The ends of a carried connection, the one that `first` names first."""
    device, inner = running.pair()
    with device, inner:
        yield (device, inner) if first == "device" else (inner, device)


def test_both_ways_at_once_and_each_end_for_itself(running):
    device, inner = running.pair()
    with device, inner:
        got: dict[str, bytes] = {}
        readers = [
            in_thread(lambda: got.update(device=read_all(device))),
            in_thread(lambda: got.update(inner=read_all(inner))),
        ]
        for sock in (device, inner):
            readers.append(in_thread(lambda sock=sock: (sock.sendall(DATA), sock.shutdown(socket.SHUT_WR))))
        for each in readers:
            each.join(TIMEOUT)
        assert got == {"device": DATA, "inner": DATA}
        wait_for("the connection is over", lambda: running.open() == 0)
    assert (running.relay.carried, running.relay.failed) == (1, 0)


@pytest.mark.parametrize("first", ["device", "service"])
def test_one_end_says_all_and_the_other_goes_on(running, first):
    with ends(running, first) as (one, other):
        one.sendall(b"a question")
        one.shutdown(socket.SHUT_WR)
        assert read_all(other) == b"a question"
        assert running.open() == 1
        other.sendall(b"an answer")
        other.shutdown(socket.SHUT_WR)
        assert read_all(one) == b"an answer"
        wait_for("the connection is over", lambda: running.open() == 0)


def test_who_does_not_read_is_waited_for_and_holds_up_nobody(running):
    """What is on the way is bounded; another connection goes on meanwhile, and in the end all is there."""
    device, inner = running.pair()
    sent = 0
    with device, inner:
        device.setblocking(False)
        device.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        digest = hashlib.sha256()
        other, other_inner = running.pair()
        with other, other_inner:
            quiet = 0
            while quiet < 20:  # round trips of the other connection in which nothing more is taken
                try:
                    count = device.send(DATA[: 1 << 16])
                    digest.update(DATA[:count])
                    sent, quiet = sent + count, 0
                except BlockingIOError:
                    quiet += 1
                other.sendall(b"x")
                assert other_inner.recv(1) == b"x"
        assert sent < 64 << 20  # far less than there is to send: it stopped
        device.shutdown(socket.SHUT_WR)
        got = hashlib.sha256()
        while part := inner.recv(1 << 16):
            got.update(part)
        assert got.digest() == digest.digest()


@pytest.mark.parametrize("broken", ["device", "service"])
def test_an_end_that_breaks_ends_the_other(running, broken):
    with ends(running, broken) as (one, other):
        one.sendall(b"before")
        assert other.recv(100) == b"before"
        reset(one)
        assert is_over(other)
        wait_for("the connection is over", lambda: running.open() == 0)


def test_who_says_all_and_leaves_is_heard(running):
    device, inner = running.pair()
    with inner:
        writer = in_thread(lambda: (device.sendall(DATA), device.close()))
        assert inner.recv(1, socket.MSG_PEEK) == DATA[:1]
        assert read_all(inner) == DATA
        writer.join(TIMEOUT)
    wait_for("the connection is over", lambda: running.open() == 0)


def test_an_end_that_breaks_while_its_data_waits(running):
    """What the relay holds is still said, in order; then the other end hears that it is over."""
    device, inner = running.pair()
    with inner:
        device.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            device.send(DATA)
        assert inner.recv(1, socket.MSG_PEEK) == DATA[:1]
        reset(device)
        got = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while part := inner.recv(1 << 16):
                got += part
        assert got and DATA.startswith(got)
    wait_for("the connection is over", lambda: running.open() == 0)


def test_the_service_hears_who_is_no_person_of_this_machine(running):
    device, inner = running.pair()
    with device, inner:
        assert inner.getpeername()[0] == SOURCE != "127.0.0.1"


def test_nor_when_the_service_has_a_name():
    running = Running("localhost")
    try:
        device, inner = running.pair()
        with device, inner:
            assert inner.getpeername()[0] == SOURCE
    finally:
        running.close()


def test_a_service_that_is_down(running):
    place = running.service.getsockname()
    running.service.close()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(place)  # nobody listens there, and nobody else can
        with running.connect() as device:
            assert is_over(device)
    wait_for("the connection is over", lambda: running.open() == 0)
    assert running.relay.failed == 1


def test_one_address_has_its_share_and_no_more(monkeypatch):
    monkeypatch.setattr(relay_module, "ADDRESS_CONNECTIONS_MAX", 3)
    running = Running()
    try:
        with contextlib.ExitStack() as stack:
            pairs = [running.pair() for _ in range(3)]
            for sock in sum(pairs, ()):
                stack.enter_context(sock)
            with running.connect() as fourth:
                assert is_over(fourth)
            assert running.relay.refused == 1
            # Another address is not shut out, and neither is this one when it has given one up.
            with socket.create_connection(
                ("127.0.0.1", running.port), TIMEOUT, source_address=("127.0.0.9", 0)
            ):
                running.service.accept()[0].close()
            for sock in pairs[0]:
                sock.close()
            wait_for("room again", lambda: running.open() == 2)
            device, inner = running.pair()
            with device, inner:
                inner.sendall(b"x")
                assert device.recv(1) == b"x"
    finally:
        running.close()


def test_a_relay_that_is_closed_ends_what_it_carries():
    running = Running()
    device, inner = running.pair()
    with device, inner:
        running.close()
        assert is_over(device) and is_over(inner)


def test_many_that_come_and_go_leave_nothing(running):
    """Ends that close in every way, at the same time."""
    before = len(os.listdir("/proc/self/fd"))

    def service() -> None:
        with contextlib.suppress(OSError):
            for number in range(200):
                inner, _ = running.service.accept()
                with inner, contextlib.suppress(OSError):
                    if number % 3 == 0:
                        reset(inner)
                    elif number % 3 == 1:
                        inner.sendall(inner.recv(100))

    thread = in_thread(service)
    for number in range(200):
        device = running.connect()
        with device, contextlib.suppress(OSError):
            device.sendall(b"x" * 100)
            if number % 4 == 0:
                reset(device)
            elif number % 4 == 1:
                device.recv(100)
    thread.join(TIMEOUT)
    wait_for("all is over", lambda: running.open() == 0)
    wait_for("no descriptor is left", lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_a_pump_that_is_killed_costs_its_connections_and_no_others(running):
    device, inner = running.pair()
    with device, inner:
        device.sendall(b"x")
        assert inner.recv(1) == b"x"
        running.relay._pump.process.kill()
        assert is_over(device) and is_over(inner)
        wait_for("the connection is over", lambda: running.open() == 0)
    device, inner = running.pair()
    with device, inner:
        device.sendall(b"y")
        assert inner.recv(1) == b"y"
