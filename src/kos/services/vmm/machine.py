"""A running QEMU: started, heard, stopped. One thread, which waits for all at once.

It ends when QEMU has ended; how the guest ended decides whether that counts as a failure.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

from kos.services.vmm.command import Place, command
from kos.services.vmm.config import Guest
from kos.services.vmm.console import Console
from kos.services.vmm.output import Output
from kos.services.vmm.qmp import Qmp

READ_MAX = 64 << 10
# From SIGTERM on, within the supervisor's two seconds: the guest may end by itself, then QEMU is told to end,
# then it is killed.
QUIT_SECONDS, KILL_SECONDS = 1.2, 1.6
OUTPUT_SECONDS = 0.05  # until output that found no room is tried again
PAUSE_SECONDS = 10.0  # for QEMU to write what the guest has under way, and to stop it


class Machine:
    """One run of a guest."""

    def __init__(self, guest: Guest, place: Place, console: Console, on_ready: Callable[[], None]) -> None:
        self.guest = guest
        self.qmp: Qmp | None = None
        self.pid = 0
        self._place = place
        self._console = console
        self._on_ready = on_ready
        self._serial: socket.socket | None = None
        self._output = Output(1)
        self._reason = ""
        self._stopping = 0.0
        self._told_quit = False
        self._is_ready = False

    def say(self, text: str) -> None:
        """A line of our own among the guest's."""
        self._output.say(text)

    def type_in(self, data: bytes) -> int:
        """Give bytes to the guest's console; → how many it took."""
        try:
            return self._serial.send(data, socket.MSG_DONTWAIT) if self._serial else 0
        except OSError:
            return 0

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The guest stands still, and everything that it wrote is in its disks' files.

        Raises:
            OSError, ValueError: QEMU did not do it.
        """
        if self.qmp is None:
            raise OSError("the guest does not run")
        self.qmp.call("stop", PAUSE_SECONDS)
        try:
            yield
        finally:
            self.qmp.call("cont", PAUSE_SECONDS)

    def run(self) -> int:
        """Run the guest until it ends; → the app's exit status."""
        process = self._start()
        wake, woken = socket.socketpair()
        wake.setblocking(False)
        woken.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            for connection in (woken, self._serial, self.qmp.connection):
                selector.register(connection, selectors.EVENT_READ)
            while process.poll() is None:
                for key, _events in selector.select(self._next_step()):
                    if not self._read(key.fileobj, woken):
                        selector.unregister(key.fileobj)
                self._output.flush()
                self._look_at_ready()
                self._stop_harder(process)
        return self._end(process.returncode)

    def stop(self) -> None:
        """Ask the guest to end; called as a signal handler in the loop's own thread."""
        if self._stopping:
            return
        self._stopping = time.monotonic()
        if self.guest.shutdown:
            self.type_in(self.guest.shutdown)
        self._tell("system_powerdown")

    def _start(self) -> subprocess.Popen[bytes]:
        console, far_console = socket.socketpair()
        control, far_control = socket.socketpair()
        self._serial, self.qmp = console, Qmp(control)
        with far_console, far_control:
            descriptors = (far_console.fileno(), far_control.fileno())
            process = subprocess.Popen(
                command(self.guest, self._place, *descriptors),
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                env={"LD_LIBRARY_PATH": self._place.libraries, "HOME": "/tmp", "LANG": "C.UTF-8"},
            )
        self.pid = process.pid
        return process

    def _next_step(self) -> float | None:
        if not self._stopping:
            return OUTPUT_SECONDS if self._output else None
        after = KILL_SECONDS if self._told_quit else QUIT_SECONDS
        return max(0.0, self._stopping + after - time.monotonic())

    def _stop_harder(self, process: subprocess.Popen[bytes]) -> None:
        if not self._stopping:
            return
        waited = time.monotonic() - self._stopping
        if waited >= KILL_SECONDS:
            process.kill()
        elif waited >= QUIT_SECONDS and not self._told_quit:
            self._told_quit = True
            self._tell("quit")  # writes what the guest's disks have in memory, and ends

    def _tell(self, order: str) -> None:
        with contextlib.suppress(OSError):  # it is gone: its end follows
            self.qmp.send(order)

    def _read(self, connection: socket.socket, woken: socket.socket) -> bool:
        """Take what one of our sockets has; whether more may come."""
        try:
            data = connection.recv(READ_MAX)
        except (BlockingIOError, InterruptedError):
            return True
        except ConnectionResetError:
            data = b""
        if connection is self._serial and data:
            self._console.feed(data)
            self._output.write(data)
        elif connection is not woken and data:
            for name, details in self.qmp.feed(data):
                if name == "SHUTDOWN":
                    self._reason = str(details.get("reason", ""))
        return bool(data)

    def _look_at_ready(self) -> None:
        if not self._is_ready and self.qmp.greeted and self._console.ready:
            self._is_ready = True
            self._on_ready()

    def _end(self, status: int) -> int:
        self._serial.setblocking(False)
        while self._read(self._serial, self._serial) and self._has_more():
            pass
        code, text = self._verdict(status)
        self.say(text)
        self._output.flush(wait=True)
        return code

    def _verdict(self, status: int) -> tuple[int, str]:
        """The app's exit status, and in words how the guest ended."""
        if self._stopping:
            return 0, "stopped"
        if self._reason == "guest-shutdown" and status == 0:
            return 0, "the guest has powered off"
        if self._reason == "guest-reset":
            return 1, "the guest panicked or restarted itself"
        return 1, f"QEMU ended with status {status} {self._reason}".rstrip()

    def _has_more(self) -> bool:
        try:
            return bool(self._serial.recv(1, socket.MSG_PEEK))
        except OSError:
            return False
