"""Bare WireGuard to compare with: wireguard-go at both ends of a wire, with nothing of ours in the way."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from ipaddress import ip_interface, ip_network
from pathlib import Path

from kos.network import wireguard_go
from kos.network.namespaces import in_namespace, mount_private_tmpfs, new_network_namespace
from kos.network.rtnl import Rtnl
from kos.network.uapi import UapiControl
from kos.network.wireguard import Change, Endpoint, Peer
from tests.network import lab
from tests.network.lab import KeyPair, Wire

CHUNK = 1 << 16  # bytes
PORT = 51820


class BareWireguard(UapiControl):
    """wireguard-go as anybody would start it: outside, then its interface is moved inside."""

    def __init__(self, outside: int, inside: int, name: str) -> None:
        command = [wireguard_go.program(), "--foreground", name]
        environ = {"LOG_LEVEL": "silent", "WG_PROCESS_FOREGROUND": "1"}

        def start() -> subprocess.Popen[bytes]:
            mount_private_tmpfs("/run")  # an ordinary user may not write into the machine's
            return subprocess.Popen(command, env=environ)

        self.process = in_namespace(outside, start)
        super().__init__(Path(f"/proc/{self.process.pid}/root/run/wireguard/{name}.sock"))
        lab.wait_for("wireguard-go", self.path.exists)
        rtnl = in_namespace(outside, Rtnl)
        rtnl.set(name, up=True, mtu=1420)
        rtnl.move(name, inside, "wg0")
        rtnl.close()
        rtnl = in_namespace(inside, Rtnl)
        rtnl.set("wg0", up=True)
        rtnl.close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class Bare:
    """wireguard-go at both ends of a wire."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.here, self.there = new_network_namespace(), new_network_namespace()
        ends = [(self.wire.device, self.here), (self.wire.gateway, self.there)]
        keys = [KeyPair.new(), KeyPair.new()]
        addresses = ["10.90.1.2/16", "10.90.0.1/16"]
        outside = [lab.DEVICE_ADDRESS, lab.GATEWAY_ADDRESS]
        names = [f"bare{os.getpid()}{side}" for side in "ab"]
        self.engines = [BareWireguard(*end, name) for end, name in zip(ends, names, strict=True)]
        for n, (engine, (_, inside)) in enumerate(zip(self.engines, ends, strict=True)):
            allowed = (ip_network(f"{ip_interface(addresses[1 - n]).ip}/32"),)
            peer = Peer(keys[1 - n].public, Endpoint(outside[1 - n], PORT), allowed)
            engine.apply(Change(private_key=keys[n].private, listen_port=PORT, peers=(peer,)))
            rtnl = in_namespace(inside, Rtnl)
            rtnl.add_address("wg0", ip_interface(addresses[n]))
            rtnl.close()
        self.key = keys[1]

    def close(self) -> None:
        for engine in self.engines:
            engine.stop()
        self.wire.close()


def serve(namespace: int, address: str, port: int, echo: bool) -> socket.socket:
    """A sink, or an echo, on one port."""
    listener = in_namespace(namespace, lambda: socket.create_server((address, port)))

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    while data := connection.recv(CHUNK):
                        if echo:
                            connection.sendall(data)
                    connection.sendall(b".")

    threading.Thread(target=run, daemon=True).start()
    return listener


def throughput(namespace: int, port: int, megabytes: int) -> float:
    """Mbit/s of one TCP connection, until the other side has everything."""
    data = bytes(CHUNK)
    with in_namespace(
        namespace, lambda: socket.create_connection(("10.90.0.1", port), timeout=60)
    ) as connection:
        begin = time.perf_counter()
        for _ in range(megabytes * 16):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        return megabytes * 16 * CHUNK * 8 / (time.perf_counter() - begin) / 1e6
