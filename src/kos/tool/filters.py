"""Read the system-call filters that a process really runs under, as the kernel gives them to a tracer.

Only root may (`PTRACE_SECCOMP_GET_FILTER`, ptrace(2)); for anyone else there is nothing to read. The thread
stands still for the moment that it takes.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

_SEIZE, _INTERRUPT, _DETACH, _GET_FILTER = 0x4206, 0x4207, 17, 0x420C
_WAIT_ALL = 0x40000000  # __WALL: also for a thread that is not its group's leader
_INSTRUCTION = 8  # bytes of a struct sock_filter
_FILTERS_MAX = 32


def filters_of(pid: int) -> list[str]:
    """SHA-256 of each filter of a process; empty where they cannot be read."""
    digests = []
    try:
        with _stopped(pid):
            for index in range(_FILTERS_MAX):
                count = _ptrace(_GET_FILTER, pid, index)
                program = ctypes.create_string_buffer(count * _INSTRUCTION)
                _ptrace(_GET_FILTER, pid, index, ctypes.addressof(program))
                digests.append(hashlib.sha256(program.raw).hexdigest())
    except OSError:
        return digests  # no more of them, or none that we may read
    return digests


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    _ptrace(_SEIZE, pid)
    try:
        _ptrace(_INTERRUPT, pid)
        os.waitpid(pid, _WAIT_ALL)
        yield
    finally:
        _ptrace(_DETACH, pid)


def _ptrace(request: int, pid: int, address: int = 0, data: int | None = None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    result = int(libc.ptrace(request, pid, address, data))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
