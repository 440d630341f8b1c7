"""Network and user namespaces: make one, do something inside one, join one for good.

A namespace is held by a descriptor; it goes when its last descriptor and its last process are gone, so
nothing is left behind under `/run/netns`. Other threads are never moved: what runs inside a namespace runs
in a thread of its own that ends there.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.hints import TypeVar

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC_PRIVATE = 0x4000 | 0x40000
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)
Result = TypeVar("Result")


def _check(result: int, what: str, hint: str | None = None) -> None:
    if result != 0:
        raise KosError(f"cannot {what}: {os.strerror(ctypes.get_errno())}", hint=hint)


def unshare(flags: int, what: str) -> None:
    hint = "allow user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1"
    _check(_libc.unshare(flags), what, hint)


def set_namespace(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace of a descriptor."""
    _check(_libc.setns(descriptor, kind), "enter the namespace")


def mount_private_tmpfs(path: str) -> None:
    """Give the calling thread a mount namespace of its own in which `path` is an empty tmpfs."""
    unshare(CLONE_NEWNS, "make a mount namespace")
    _check(_libc.mount(None, b"/", None, MS_REC_PRIVATE, None), "make the mounts private")
    _check(_libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, b"mode=0700"), f"mount a tmpfs on {path}")


def bind_mount(source: str, target: str) -> None:
    """Show `source` at `target` too, in the mount namespace of the calling thread."""
    _check(_libc.mount(source.encode(), target.encode(), None, MS_BIND, None), f"mount {source} on {target}")


def die_with_parent(signal_number: int) -> None:
    """For use between fork and exec: the child is sent this signal when the thread that started it ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "follow the parent")


def enter_user_namespace() -> None:
    """Move this single-threaded process into a new user namespace, as root in there and nobody new outside.

    Raises:
        KosError: the kernel or its administrator does not allow it.
    """
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS, "make a user namespace")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def in_namespace(descriptor: int, function: Callable[[], Result]) -> Result:
    """Call a function inside a network namespace, in a thread that ends there, and return what it returns.

    Sockets that it opens and processes that it starts stay in that namespace.
    """
    return _in_thread(lambda: (set_namespace(descriptor, CLONE_NEWNET), function())[1])


def new_network_namespace() -> int:
    """A new network namespace, empty but for a loopback that is down, as a descriptor that keeps it."""

    def make() -> int:
        unshare(CLONE_NEWNET, "make a network namespace")
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    return _in_thread(make)


def own_network_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _in_thread(function: Callable[[], Result]) -> Result:
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # handed to the caller below
            errors.append(error)

    thread = threading.Thread(target=run, name="in-namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
