"""gdbserver beside one C app: inside the app's own namespaces, as its user, without a capability.

It can trace what that user may trace there, and that is the app: process 1 of the sandbox is closed to it,
and no other process exists. gdb's protocol can ask it for files and for programs to start: its files are
those of the app's sandbox, and its system-call filter has no execve. It ends with the stream, and with the
sandbox.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from kos.abi.debug import PIECE_MAX
from kos.abi.errors import KosError
from kos.device.cells import GDBSERVER, Place, has_gdbserver
from kos.device.loop import Loop
from kos.device.process import STATUS_PACKET_MAX, Process, memory_file
from kos.device.sandbox import Cell, launch_command
from kos.device.seccomp import notify
from kos.device.seccomp.compiler import cached_program
from kos.device.seccomp.policy import DEBUGGER, policy_for
from kos.network.namespaces import set_namespace

# CLONE_NEWCGROUP, UTS, IPC, PID, NET, NS; the user's own is entered first, where there is one.
_NAMESPACES = 0x02000000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000 | 0x00020000
_NEW_USER = 0x10000000
_PR_CAPBSET_DROP = 24
_LAST_CAPABILITY_MAX = 63  # the kernel's capability sets are 64 bits wide
_WORDS_MAX = 2000  # bytes of what gdbserver says that are read
# From the end of its input to its own end. One that is killed while it takes its breakpoints out leaves a
# broken app, so only one that hangs is.
_LEAVE_SECONDS = 30.0
_ADDRESS_SPACE = 512 << 20  # bytes
_libc = ctypes.CDLL(None, use_errno=True)


class GdbFar:
    """The app's side of a debugger's stream: the standard input and output of a gdbserver."""

    def __init__(self, loop: Loop, place: Place, process: Process, after: GdbFar | None) -> None:
        """Start one for the app that runs in `process`; not before `after`, an earlier one, has let go of it.

        Raises:
            KosError: there is no gdbserver, or no such app any more.
        """
        if not has_gdbserver():
            raise KosError("there is no gdbserver on this machine", hint="apt-get install gdbserver")
        self._loop, self._place, self._app = loop, place, process
        self._filter: int | None = None
        self._started = False
        self._process: subprocess.Popen[bytes] | None = None
        self._gone = False
        self._closed = False
        self._next: Callable[[], None] | None = None
        self._said = ""
        self._connection, self._theirs = socket.socketpair()
        self._connection.setblocking(False)
        self.fd = self._connection.fileno()
        if after is None or after._gone:
            self._start()
        else:
            after._next = self._start_late

    def _start(self) -> None:
        program = cached_program(policy_for(DEBUGGER), self._place.runtime.arch, self._place.filters)
        as_root = self._place.as_root
        with contextlib.ExitStack() as ends:
            ends.enter_context(self._theirs)
            handle, inside = _app_of(self._app)
            ends.callback(os.close, handle)
            self._status, status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ends.enter_context(status)
            self._status.setblocking(False)
            self._words, words = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            ends.callback(os.close, words)
            # Without --once it waits for another gdb on the input that ended, and never lets go of the app.
            command = (GDBSERVER, "gdbserver", "--once", "--attach", "-", str(inside))
            limits = {"core": 0, "as": _ADDRESS_SPACE}
            cell = Cell(self._app.cell.name, DEBUGGER, command, {}, self._app.cell.caller_id, limits=limits)
            filter_fd = memory_file(ends, "filter", program)
            launch = launch_command(cell, status.fileno(), filter_fd, [], as_root=as_root)
            launch[1:1] = ["--joined", "1"]
            try:
                self._process = subprocess.Popen(
                    launch,
                    stdin=self._theirs,
                    stdout=self._theirs,
                    stderr=words,
                    env={"HOME": "/tmp", "LD_LIBRARY_PATH": "/gdb/lib"},
                    pass_fds=[status.fileno(), filter_fd],
                    preexec_fn=lambda: _enter(handle, user=not as_root),
                )
            except (OSError, subprocess.SubprocessError) as error:
                self._status.close()
                os.close(self._words)
                raise KosError(f"the debugger cannot enter the app's sandbox: {error}") from error
        self._loop.watch(self._status.fileno(), self._on_status)

    def _start_late(self) -> None:
        try:
            if self._closed:
                self._theirs.close()
            else:
                self._start()
                return
        except KosError as error:
            self._said = error.message
        self._done()

    def read(self) -> bytes | None:
        try:
            data = self._connection.recv(PIECE_MAX)
        except BlockingIOError:
            return b""
        except ConnectionResetError:
            data = b""
        return data or None

    def write(self, data: bytes) -> int:
        try:
            return self._connection.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    @property
    def words(self) -> str:
        """What gdbserver said about itself, as when it could not attach."""
        if not self._gone:
            with contextlib.suppress(BlockingIOError):
                self._said += os.read(self._words, _WORDS_MAX).decode(errors="replace").strip()
        return next((line for line in self._said.splitlines() if "annot" in line or "rror" in line), "")

    def close(self) -> None:
        """gdbserver lets go of the app when gdb goes away, and ends; if not, it is killed."""
        self._closed = True
        self._connection.close()
        self._loop.call_later(_LEAVE_SECONDS, self._kill)

    def _kill(self) -> None:
        if not self._gone and self._process is not None:
            self._process.kill()

    def _done(self) -> None:
        self._gone = True
        if self._next is not None:
            self._next()

    # --- what kos-launch says -----------------------------------------------------------------------------
    def _on_status(self) -> None:
        try:
            packet, descriptors, _flags, _address = socket.recv_fds(self._status, STATUS_PACKET_MAX, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        if packet == b"hello":
            self._status.send(b"go")
        elif packet.startswith(b"filter") and descriptors:
            self._filter = descriptors[0]
            os.set_inheritable(self._filter, False)
            self._loop.watch(self._filter, self._on_call)
        elif packet.startswith(b"error"):
            self._said = packet.decode(errors="replace")
        elif not packet:
            self._on_end()

    def _on_end(self) -> None:
        assert self._process is not None
        self._process.wait()  # it closed its last descriptor by ending
        self._said = self.words
        self._loop.unwatch(self._status.fileno())
        self._status.close()
        os.close(self._words)
        if self._filter is not None:
            with contextlib.suppress(KeyError):
                self._loop.unwatch(self._filter)
            os.close(self._filter)
        self._done()

    def _on_call(self) -> None:
        """A call that its filter stopped: the one execve that starts it goes on, anything else fails."""
        assert self._filter is not None
        if not notify.waiting(self._filter):
            self._loop.unwatch(self._filter)
            return
        call = notify.receive(self._filter)
        if call is None:
            return
        if not self._started and call.number == notify.EXECVE[call.arch]:
            self._started = True
            notify.let_continue(self._filter, call)
        else:
            notify.refuse(self._filter, call)  # gdb hears of it; a debugger that is killed may break the app


def _app_of(process: Process) -> tuple[int, int]:
    """The app itself, which is the oldest child of its sandbox's process 1: a handle, and its number inside.

    Raises:
        KosError: it has ended.
    """
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        inside = {_number_inside(int(pid)): int(pid) for pid in children.read_text().split()}
        number = min(inside)
        handle = os.pidfd_open(inside[number])
        if str(inside[number]) in children.read_text().split():  # still, so the handle is of no other
            return handle, number
        os.close(handle)
    except (OSError, ValueError):
        pass
    raise KosError(f"{process.cell.name} is just ending")


def _number_inside(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    raise ValueError


def _enter(handle: int, *, user: bool) -> None:
    """Between fork and exec: into the app's namespaces, with no capability to be had there."""
    if user:
        set_namespace(handle, _NEW_USER)
        for capability in range(_LAST_CAPABILITY_MAX + 1):
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    set_namespace(handle, _NAMESPACES)
