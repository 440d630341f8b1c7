"""A client of a simulated device's control port has a control connection of its own, first byte to last."""

from __future__ import annotations

import socket
import threading

from kos.device.control.port import carry


def test_bytes_go_both_ways_until_the_client_leaves():
    client, port = socket.socketpair()
    control, supervisor = socket.socketpair()
    with client, port, control, supervisor:
        thread = threading.Thread(target=carry, args=(port.fileno(), control))
        thread.start()
        client.sendall(b"status?")
        assert supervisor.recv(100) == b"status?"
        supervisor.sendall(b"x" * 300_000)
        left = 300_000
        while left:
            left -= len(client.recv(65536))
        client.shutdown(socket.SHUT_WR)
        thread.join(90)
        assert not thread.is_alive()


def test_it_ends_with_the_supervisor():
    client, port = socket.socketpair()
    control, supervisor = socket.socketpair()
    with client, port, control:
        thread = threading.Thread(target=carry, args=(port.fileno(), control))
        thread.start()
        supervisor.close()
        thread.join(90)
        assert not thread.is_alive()
