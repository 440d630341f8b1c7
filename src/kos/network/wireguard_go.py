"""WireGuard in a process (`wireguard-go`), for kernels that have none of their own, and for ordinary users.

The process runs where the traffic comes from and is given UDP sockets of the outside (`outer_sockets`):
what lives behind its interface cannot reach the outside in any other way.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from pathlib import Path

from kos.abi.errors import KosError
from kos.network import namespaces
from kos.network.namespaces import in_namespace
from kos.network.outer_sockets import OuterSockets
from kos.network.rtnl import RTMGRP_LINK, Rtnl
from kos.network.uapi import UapiControl

START_TIMEOUT = 30.0  # seconds
PROGRAM = "wireguard-go"


def program() -> str:
    """The path of wireguard-go.

    Raises:
        KosError: it is not installed.
    """
    found = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise KosError(
            "this kernel has no WireGuard and the program wireguard-go is not installed",
            hint="apt-get install wireguard-go",
        )
    return found


def _prepare(inside: int, sockets: OuterSockets) -> None:
    """Between fork and exec: go inside, hide `/run` (for the control socket), follow the parent."""
    namespaces.set_namespace(inside, namespaces.CLONE_NEWNET)
    namespaces.mount_private_tmpfs("/run")
    namespaces.die_with_parent(signal.SIGKILL)
    sockets.enter()


class WireguardGo(UapiControl):
    """A running wireguard-go: its UDP socket outside, its interface in `inside`. A `Control`.

    Attributes:
        process: the process, for its end.
    """

    def __init__(self, outside: int | None, inside: int, name: str, mtu: int) -> None:
        """Start it.

        Args:
            outside: descriptor of the network namespace with the way to the peers; None: that of
                this process, which has no rights over it.
            inside: descriptor of the one with the traffic.
            name: of the interface inside.
            mtu: bytes of a packet inside.

        Raises:
            KosError: it did not start.
        """
        self.name = name
        self._sockets = OuterSockets(outside)
        events = in_namespace(inside, lambda: Rtnl(RTMGRP_LINK))
        rtnl = in_namespace(inside, Rtnl)
        try:
            self.process = subprocess.Popen(
                [program(), "--foreground", name],
                preexec_fn=lambda: _prepare(inside, self._sockets),  # nothing but system calls
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"PATH": "/usr/sbin:/usr/bin", "LOG_LEVEL": "error", "WG_PROCESS_FOREGROUND": "1"},
            )
        except subprocess.SubprocessError:
            raise KosError(
                "wireguard-go could not be given its namespace, its /run or its filter",
                hint="it needs CAP_SYS_ADMIN where it runs and seccomp listeners (Linux 5.9)",
            ) from None
        super().__init__(Path(f"/proc/{self.process.pid}/root/run/wireguard/{name}.sock"))
        try:
            self._sockets.serve(self.process.pid)
            self._wait_for_link(events, rtnl, name)
            self._wait_for_socket()
            rtnl.set(name, up=True, mtu=mtu)  # up is what makes it open its UDP socket
        except BaseException:
            self.stop()
            raise
        finally:
            events.close()
            rtnl.close()

    def _wait_for_link(self, events: Rtnl, rtnl: Rtnl, name: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        assert self.process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(events.socket, selectors.EVENT_READ)
            selector.register(self.process.stderr, selectors.EVENT_READ)
            while not any(link.name == name for link in rtnl.links()):
                ready = selector.select(deadline - time.monotonic())
                if not ready:
                    raise KosError(f"wireguard-go made no interface within {START_TIMEOUT:.0f} s")
                if (
                    any(key.fileobj is self.process.stderr for key, _ in ready)
                    and self.process.poll() is not None
                ):
                    said = self.process.stderr.read().decode(errors="replace").strip().splitlines()
                    raise KosError(
                        f"wireguard-go ended at once: {said[-1] if said else 'it said nothing'}",
                        hint="it needs /dev/net/tun; as an ordinary user: chmod 666 /dev/net/tun",
                    )
                for key, _ in ready:
                    if key.fileobj is events.socket:
                        events.socket.recv(1 << 16)
                    else:
                        os.read(self.process.stderr.fileno(), 1 << 16)

    def _wait_for_socket(self) -> None:
        """The control socket comes a moment after the interface; a foreign mount gives no event for it.

        Its file is there before anybody listens: only an answer says that it is open.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise KosError("wireguard-go opened no control socket")
            time.sleep(0.005)

    def _answers(self) -> bool:
        try:
            self.status()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def stop(self) -> None:
        """End the process; its interface goes with it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._sockets.close()
        if self.process.stderr is not None:
            self.process.stderr.close()
