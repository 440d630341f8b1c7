"""The kernel's side of a filter's listener: read a notification, let a call go on.

The structures and numbers are those of linux/seccomp.h (`struct seccomp_notif` and `struct
seccomp_notif_resp`).
"""

from __future__ import annotations

import errno
import fcntl
import select
from struct import Struct

from kos.abi.records import dataclass

_NOTIFICATION = Struct("=QIIiIQ6Q")  # id, pid, flags, nr, arch, instruction pointer, arguments
_RESPONSE = Struct("=QqiI")  # id, value, error, flags
_CONTINUE = 1
_NOTIF_RECV = 0xC0502100
_NOTIF_SEND = 0xC0182101
# The number of execve on each architecture, by its AUDIT_ARCH_ value.
EXECVE = {0xC000003E: 59, 0xC00000B7: 221, 0x40000028: 11}


@dataclass(frozen=True)
class Notification:
    """One call that a filter stopped."""

    id: int
    number: int
    arch: int  # AUDIT_ARCH_…
    pid: int  # of the caller, as we see it
    pointer: int  # where in the program the call was made
    arguments: tuple[int, ...]


def waiting(listener: int) -> bool:
    """Whether a call waits for our answer. Ask before `receive`, which may block where none does."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return any(events & select.POLLIN for _fd, events in poll.poll(0))


def receive(listener: int) -> Notification | None:
    """The next stopped call, or None when its caller died meanwhile."""
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _NOTIF_RECV, buffer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    fields = _NOTIFICATION.unpack(buffer)
    return Notification(
        id=fields[0],
        number=fields[3],
        arch=fields[4],
        pid=fields[1],
        pointer=fields[5],
        arguments=fields[6:12],
    )


def let_continue(listener: int, notification: Notification) -> None:
    """Let the call go on as if there were no filter."""
    _respond(listener, _RESPONSE.pack(notification.id, 0, 0, _CONTINUE))


def refuse(listener: int, notification: Notification) -> None:
    """Let the call fail with EPERM."""
    _respond(listener, _RESPONSE.pack(notification.id, 0, -errno.EPERM, 0))


def _respond(listener: int, response: bytes) -> None:
    try:
        fcntl.ioctl(listener, _NOTIF_SEND, bytearray(response))
    except OSError as error:
        if error.errno != errno.ENOENT:  # ENOENT: the caller was killed meanwhile
            raise
