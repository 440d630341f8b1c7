"""UDP sockets of the outside for a program inside a network namespace.

An ordinary user may make no interface outside, so wireguard-go must run inside and yet send from outside.
Each `bind` of the program stops at a seccomp filter whose listener is ours: we bind a socket like the
program's outside and put it in the place of the program's descriptor (seccomp_unotify(2),
`SECCOMP_ADDFD_FLAG_SETFD`). From then on nobody of ours is in the way of a packet. The technique is
bypass4netns's.

It must not judge: the program is one that we started, and what it may reach is decided by what leads into it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import threading
from ipaddress import ip_address
from pathlib import Path

from kos.abi.errors import KosError
from kos.network.namespaces import in_namespace

# linux/seccomp.h, linux/audit.h and each architecture's asm/unistd.h.
_SECCOMP_SET_MODE_FILTER, _FLAG_NEW_LISTENER = 1, 8
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_RECV, _SEND, _ADDFD = 0xC0502100, 0xC0182101, 0x40182103
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags, number, arch, instruction pointer, arguments
_RESPONSE = struct.Struct("=QqiI")  # id, value, error, flags
_ADD = struct.Struct("=QIIII")  # id, flags, our descriptor, its descriptor, flags of that
_SETFD = 1
_CONTINUE = 1
_PIDFD_GETFD = 438  # on every architecture
_CALLS = {  # machine → its AUDIT_ARCH number, bind, seccomp
    "x86_64": (0xC000003E, 49, 317),
    "aarch64": (0xC00000B7, 200, 277),
}
_SOCKADDR = {16: socket.AF_INET, 28: socket.AF_INET6}  # bytes of an address → its family
# What a socket may have been told before it is bound; kept as they are.
_IP_PKTINFO, _UDP_GRO = 8, 104  # linux/in.h, linux/udp.h: the socket module does not name them
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (socket.SOL_SOCKET, socket.SO_BROADCAST),
    (socket.IPPROTO_IP, _IP_PKTINFO),
    (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
    (socket.IPPROTO_UDP, _UDP_GRO),
)
# The kernel's usual 208 KiB hold 150 packets of full size, less than TCP sends in one go through a namespace.
QUEUE = 4 << 20  # bytes of a socket's queues
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_QUEUES = ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF))

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def filter_program(machine: str) -> bytes:
    """Classic BPF that stops `bind` with an address of IPv4's or IPv6's size, and lets everything else pass.

    Raises:
        KosError: a machine whose system calls are not known here.
    """
    if machine not in _CALLS:
        raise KosError(
            f"wireguard-go is used on x86_64 and aarch64 only, this is {machine}",
            hint="use a kernel with WireGuard",
        )
    arch, bind, _seccomp = _CALLS[machine]
    steps = [
        (0x20, 0, 0, 4),  # the architecture
        (0x15, 0, 5, arch),
        (0x20, 0, 0, 0),  # the call
        (0x15, 0, 3, bind),
        (0x20, 0, 0, 32),  # its third argument: how many bytes the address has
        (0x15, 2, 0, 16),
        (0x15, 1, 0, 28),
        (0x06, 0, 0, _ALLOW),
        (0x06, 0, 0, _NOTIFY),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def decode_address(raw: bytes) -> tuple[str, int] | None:
    """The host and port of a `sockaddr_in` or `sockaddr_in6`; None for anything else."""
    family = _SOCKADDR.get(len(raw))
    if family is None or struct.unpack_from("=H", raw)[0] != family:
        return None
    (port,) = struct.unpack_from("!H", raw, 2)
    return str(ip_address(raw[4:8] if family == socket.AF_INET else raw[8:24])), port


def _like(theirs: socket.socket, address: tuple[str, int]) -> socket.socket:
    """A socket of our namespace, set as `theirs` is, with longer queues, and bound."""
    made = socket.socket(theirs.family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        for level, option in _OPTIONS:
            with contextlib.suppress(OSError):  # an option of the other family, or of a newer kernel
                made.setsockopt(level, option, theirs.getsockopt(level, option))
        for forced, limited in _QUEUES:
            try:
                made.setsockopt(socket.SOL_SOCKET, forced, QUEUE)
            except PermissionError:  # an ordinary user: as much as net.core.rmem_max and wmem_max allow
                made.setsockopt(socket.SOL_SOCKET, limited, QUEUE)
        fcntl.fcntl(made, fcntl.F_SETFL, fcntl.fcntl(theirs, fcntl.F_GETFL))
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


class OuterSockets:
    """Gives one child process UDP sockets of a namespace.

    Call `enter` in the child before it executes the program, then `serve` in the parent, and `close` at the
    end.
    """

    def __init__(self, outside: int | None) -> None:
        """`outside`: descriptor of the namespace; None is our own, which an ordinary user may not enter
        anew.
        """
        self._outside = outside
        machine = os.uname().machine
        self._program = filter_program(machine)
        self._seccomp_call = _CALLS[machine][2]
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener: int | None = None
        self._thread: threading.Thread | None = None
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)

    def enter(self) -> None:
        """Between fork and exec: set the filter, hand its listener to the parent."""
        steps = ctypes.create_string_buffer(self._program, len(self._program))
        program = _Program(len(self._program) // 8, ctypes.addressof(steps))
        listener = _libc.syscall(
            self._seccomp_call, _SECCOMP_SET_MODE_FILTER, _FLAG_NEW_LISTENER, ctypes.byref(program)
        )
        if listener < 0:
            raise OSError(ctypes.get_errno(), "seccomp")
        socket.send_fds(self._theirs, [b"l"], [listener])
        os.close(listener)

    def serve(self, process: int) -> None:
        """Answer the child, whose pid this is, in a thread of its own."""
        self._theirs.close()
        _, (self._listener,), _, _ = socket.recv_fds(self._ours, 1, 1)
        self._handle = os.pidfd_open(process)
        self._process = process
        self._thread = threading.Thread(target=self._run, name="outer-sockets", daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.write(self._stop_write, b"x")
        if self._thread is not None:
            self._thread.join()
            os.close(self._handle)
        if self._listener is not None:
            os.close(self._listener)
        for each in (self._ours, self._theirs):
            each.close()
        os.close(self._stop_read)
        os.close(self._stop_write)

    def _run(self) -> None:
        assert self._listener is not None
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stop_read, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._stop_read in ready or ready.get(self._listener, 0) & (select.POLLHUP | select.POLLERR):
                return
            notification = bytearray(_NOTIFICATION.size)
            try:
                fcntl.ioctl(self._listener, _RECV, notification)
                self._answer(notification)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EINTR):  # whoever asked was killed meanwhile
                    raise

    def _answer(self, notification: bytearray) -> None:
        assert self._listener is not None
        identity, *_, descriptor, pointer, size = _NOTIFICATION.unpack(notification)[:9]
        code, flags = 0, 0
        try:
            address = self._address(pointer, size)
            with self._duplicate(descriptor) as theirs:
                if address is None or theirs.type != socket.SOCK_DGRAM:
                    flags = _CONTINUE
                else:
                    with self._make(theirs, address) as made:
                        add = _ADD.pack(identity, _SETFD, made.fileno(), descriptor, os.O_CLOEXEC)
                        fcntl.ioctl(self._listener, _ADDFD, bytearray(add))
        except OSError as error:
            code = -(error.errno or errno.EACCES)
        fcntl.ioctl(self._listener, _SEND, bytearray(_RESPONSE.pack(identity, 0, code, flags)))

    def _make(self, theirs: socket.socket, address: tuple[str, int]) -> socket.socket:
        if self._outside is None:
            return _like(theirs, address)
        return in_namespace(self._outside, lambda: _like(theirs, address))

    def _address(self, pointer: int, size: int) -> tuple[str, int] | None:
        memory = os.open(Path(f"/proc/{self._process}/mem"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return decode_address(os.pread(memory, size, pointer))
        finally:
            os.close(memory)

    def _duplicate(self, descriptor: int) -> socket.socket:
        copy = _libc.syscall(_PIDFD_GETFD, self._handle, descriptor, 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return socket.socket(fileno=copy)
