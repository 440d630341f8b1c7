"""One process in its sandbox: start it, hear of it, signal it, and know for sure when all of it is gone.

It knows nothing of restart policies, dependencies or message servers; it tells its `Listener` and waits for
orders.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kos.abi.hints import Any, Protocol
from kos.abi.records import dataclass, field
from kos.device.limits import Group
from kos.device.loop import Loop, Timer
from kos.device.network.client import Join
from kos.device.runtime import Runtime
from kos.device.sandbox import Cell, bwrap_arguments, launch_command
from kos.device.seccomp import notify
from kos.device.seccomp.compiler import cached_program, call_name
from kos.device.seccomp.policy import policy_for

STATUS_PACKET_MAX = 512  # bytes of one packet from kos-launch
LOOK_SECONDS = 1.0  # between two looks at what its limits refused it
_MAPS_MAX = 4096  # lines of a memory map that are looked at
CONSOLE_READ_MAX = 65536  # bytes taken from a console pipe in one turn
_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid


@dataclass(frozen=True)
class End:
    """How a process ended.

    Attributes:
        text: for people, such as "exited with status 1".
        failed: whether the end counts as a failure.
        violation: the system call that ended it, if one did.
        memory: its largest resident size in bytes; 0 where it never started.
        signal: the name of the signal that ended it, if one did.
        status: its exit status, if it exited.
        where: of a system call that ended it: its arguments and where in the program it was made.
    """

    text: str
    failed: bool
    violation: str | None = None
    memory: int = 0
    signal: str | None = None
    status: int | None = None
    where: dict[str, Any] = field(default_factory=dict)


class Listener(Protocol):
    """Whoever started the process."""

    def on_output(self, data: bytes) -> None: ...

    def on_started(self) -> None: ...

    def on_refused_process(self) -> None: ...

    def on_end(self, end: End) -> None: ...


class Process:
    """A running cell. Everything that it holds is released before `on_end` is called."""

    def __init__(self, loop: Loop, cell: Cell, group: Group, listener: Listener) -> None:
        self.cell = cell
        self.pid = 0  # of kos-launch, process 1 of the sandbox, as we see it
        self._loop = loop
        self._group = group
        self._listener = listener
        self._handle: int | None = None  # pidfd of `pid`
        self._filter: int | None = None
        self._executed = False
        self._wait_status: int | None = None
        self._max_rss = 0
        self._violation: str | None = None
        self._where: dict[str, Any] = {}
        self._error: str | None = None
        self._killed_for: str | None = None
        self._silenced = False
        self._look: Timer | None = None

    def start(
        self,
        runtime: Runtime,
        filters: Path,
        pass_fds: Sequence[int],
        *,
        as_root: bool,
        join: Join | None = None,
    ) -> None:
        """Start bwrap, inside the network that `join` enters.

        `pass_fds` become 3, 4, … of the process. The caller still owns and closes them.

        Raises:
            OSError, ValueError, subprocess.SubprocessError: it could not be started; nothing is left of it.
        """
        program = cached_program(policy_for(self.cell.kind, self.cell.resources), runtime.arch, filters)
        # `ends` is what only the child needs, `undo` what only we do.
        with contextlib.ExitStack() as ends, contextlib.ExitStack() as undo:
            self._status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ends.enter_context(theirs)
            undo.enter_context(self._status)
            self._status.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._status.setblocking(False)
            self._console, output = os.pipe2(os.O_CLOEXEC)
            ends.callback(os.close, output)
            undo.callback(os.close, self._console)
            os.set_blocking(self._console, False)
            orders = [memory_file(ends, "filter", program), memory_file(ends, "config", self.cell.config)]
            arguments = bwrap_arguments(runtime, self.cell, orders[1], as_root=as_root)
            text = b"".join(argument.encode() + b"\0" for argument in arguments)
            orders.append(memory_file(ends, "arguments", text))
            command = launch_command(self.cell, theirs.fileno(), orders[0], list(pass_fds), as_root=as_root)
            self._bwrap = subprocess.Popen(
                [str(runtime.bwrap), "--args", str(orders[2]), "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={},
                preexec_fn=join,
                cwd="/",
                pass_fds=[theirs.fileno(), *orders, *pass_fds],
            )
            undo.pop_all()
        self._bwrap_handle = os.pidfd_open(self._bwrap.pid)
        self._loop.watch(self._status.fileno(), self._on_status)
        self._loop.watch(self._console, self._on_console)
        self._loop.watch(self._bwrap_handle, self._on_gone)

    def memory(self) -> int:
        """Bytes that the app uses now: its control group's, else the resident memory of its processes."""
        used = self._group.memory()
        if used is not None or not self.pid:
            return used or 0
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in children)
        except OSError:
            return 0  # it ended meanwhile
        return pages * os.sysconf("SC_PAGE_SIZE")

    def signal(self, number: int) -> None:
        """Send a signal to the app itself; without effect once it has ended."""
        try:
            self._status.send(f"signal {number}".encode(), socket.MSG_DONTWAIT)
        except OSError:
            self.kill()  # kos-launch is gone or stuck: nothing that could pass it on

    def kill(self, reason: str | None = None) -> None:
        """Kill the app and all that it started, at once. With a reason, the end counts as a failure."""
        self._killed_for = self._killed_for or reason
        if self._handle is None:
            self._bwrap.kill()
            return
        try:
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended by itself; `_on_gone` follows

    def pause_output(self, seconds: float) -> None:
        """Leave the console pipe alone for a while, so that a flood costs the flooder and not us."""
        if not self._silenced:
            self._silenced = True
            self._loop.unwatch(self._console)
            self._loop.call_later(seconds, self._resume_output)

    def _resume_output(self) -> None:
        if self._silenced and self._console >= 0:
            self._silenced = False
            self._loop.watch(self._console, self._on_console)

    # --- what kos-launch says -----------------------------------------------------------------------------
    def _on_status(self) -> None:
        if self._read_status() is False:
            self._loop.unwatch(self._status.fileno())  # bwrap's end follows

    def _read_status(self) -> bool | None:
        """Take one packet; None when there is none now, False when there will be none."""
        room = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4)
        try:
            packet, ancillary, _flags, _address = self._status.recvmsg(STATUS_PACKET_MAX, room)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return True  # it left an order of ours unread; what it wrote comes next
        if not packet:
            return False
        word, _, rest = packet.partition(b" ")
        match word:
            case b"hello":
                self._on_hello(ancillary)
            case b"filter":
                self._filter = _received_descriptor(ancillary)
                self._loop.watch(self._filter, self._on_notification)
                if "kvm" in self.cell.resources:
                    self._on_executed()  # its filter lets execve pass, so nothing will tell
            case b"exit":
                status, rss = rest.split()
                self._wait_status, self._max_rss = int(status), int(rss) << 10
            case b"error":
                self._error = rest.decode(errors="replace")
        return True

    def _on_hello(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                self.pid = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
        try:
            self._handle = os.pidfd_open(self.pid)
            self._group.add(self.pid)
            self._status.send(b"go")
        except OSError as error:
            self._error = f"limits: {error}"
            self.kill()

    def _look_at_limits(self) -> None:
        """Control groups do not tell by themselves everywhere, so look; once is enough to report."""
        if self._group.refused_processes():
            self._listener.on_refused_process()
        else:
            self._look = self._loop.call_later(LOOK_SECONDS, self._look_at_limits)

    def _on_notification(self) -> None:
        assert self._filter is not None
        if not notify.waiting(self._filter):
            self._drop_filter()  # nobody is left under this filter
            return
        notification = notify.receive(self._filter)
        if notification is None:
            return
        if not self._executed and notification.number == notify.EXECVE[notification.arch]:
            # kos-launch becomes the app by the one execve that an app's filter ever sees pass.
            notify.let_continue(self._filter, notification)
            self._on_executed()
        elif self._violation is None:
            name = call_name(notification.number, notification.arch)
            self._violation = f"{name} ({notification.number})"
            self._where = _where(notification)
            self.kill()

    def _on_executed(self) -> None:
        self._executed = True
        self._look = self._loop.call_later(LOOK_SECONDS, self._look_at_limits)
        self._listener.on_started()

    def _drop_filter(self) -> None:
        if self._filter is not None:
            self._loop.unwatch(self._filter)
            os.close(self._filter)
            self._filter = None

    def _on_console(self) -> None:
        if self._read_console() is False:
            self._loop.unwatch(self._console)
            self._silenced = True  # nothing more can come

    def _read_console(self) -> bool | None:
        """Take some output; None when there is none now, False when there will be none."""
        try:
            data = os.read(self._console, CONSOLE_READ_MAX)
        except BlockingIOError:
            return None
        if data:
            self._listener.on_output(data)
        return bool(data)

    # --- the end ------------------------------------------------------------------------------------------
    def _on_gone(self) -> None:
        """bwrap has ended; it does so only after the last process of the sandbox."""
        bwrap_status = self._bwrap.wait()
        # All writers are gone: what is there now is all.
        while self._read_status():
            pass
        while self._read_console():
            pass
        if self._look is not None:
            self._look.cancel()
        for fd in (self._bwrap_handle, self._status.fileno()):
            try:
                self._loop.unwatch(fd)
            except KeyError:
                pass  # its end was seen before
        if not self._silenced:
            self._loop.unwatch(self._console)
        self._drop_filter()
        self._status.close()
        for descriptor in (self._console, self._bwrap_handle, self._handle):
            if descriptor is not None:
                os.close(descriptor)
        self._console = -1
        out_of_memory = self._group.out_of_memory()
        self._group.close()
        self._listener.on_end(self._describe(bwrap_status, out_of_memory))

    def _describe(self, bwrap_status: int, out_of_memory: bool) -> End:
        if self._violation:
            text = f"system call {self._violation} is not allowed"
            return End(text, True, self._violation, self._max_rss, where=self._where)
        if self._error or (self._wait_status is None and not self._executed and not self._killed_for):
            what = self._error or f"the sandbox could not be made (bwrap: {bwrap_status})"
            return End(f"could not be started: {what}", True)
        if out_of_memory:
            return End("killed: out of memory", True, None, self._max_rss)
        if self._killed_for:
            return End(f"killed: {self._killed_for}", True, None, self._max_rss)
        if self._wait_status is None:
            return End("killed", True, None, self._max_rss)
        code = os.waitstatus_to_exitcode(self._wait_status)
        if code >= 0:
            return End(f"exited with status {code}", code != 0, None, self._max_rss, status=code)
        name = _signal_name(-code)
        return End(f"killed by {name}", True, None, self._max_rss, signal=name)


def _where(call: notify.Notification) -> dict[str, Any]:
    """The stopped call: its caller still waits, so its memory map can be read."""
    found: dict[str, Any] = {
        "pc": f"{call.pointer:#x}",
        "arguments": [f"{argument:#x}" for argument in call.arguments],
    }
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{call.pid}/maps").read_text().splitlines()[:_MAPS_MAX]:
            area, _mode, offset, _device, _inode, *path = line.split(None, 5)
            first, last = (int(number, 16) for number in area.split("-"))
            if first <= call.pointer < last and path:
                found["in"] = f"{path[0]}+{call.pointer - first + int(offset, 16):#x}"
    return found


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # most real-time signals have no name


def memory_file(ends: contextlib.ExitStack, name: str, data: bytes) -> int:
    """A descriptor that reads `data` from its beginning, open as long as `ends`."""
    fd = os.memfd_create(f"kos-{name}")
    ends.callback(os.close, fd)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _received_descriptor(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fd = int.from_bytes(data[:4], sys.byteorder)
            os.set_inheritable(fd, False)
            return fd
    raise ValueError("kos-launch sent no listener")
