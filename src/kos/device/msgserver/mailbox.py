"""Memory that two apps share: mailboxes, buffers and the app page. Makes, seals and closes them.

Knows the layout (`kos.abi.message`) and nothing of tokens or access control.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys

from kos.abi import message, trace
from kos.app.shared_memory import atomic_add, futex_wake

MFD_NOEXEC_SEAL = 0x0008  # Linux 6.3; Python's `os` has no name for it yet
SEALED_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
F_SEAL_FUTURE_WRITE = 0x0010  # `fcntl` has no name for it before Python 3.13


def sealed_memory(name: str, size: int) -> int:
    """Return the descriptor of `size` bytes of zeroed shared memory that nobody can resize or execute."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        descriptor = os.memfd_create(name, flags | MFD_NOEXEC_SEAL)
    except OSError:  # a kernel older than 6.3 does not know the flag
        descriptor = os.memfd_create(name, flags)
    os.truncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALED_SIZE)
    return descriptor


def seal_against_writing(descriptor: int) -> None:
    """From now on nobody can write through a new mapping or descriptor; mappings that exist still can."""
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, F_SEAL_FUTURE_WRITE)


def map_memory(descriptor: int, size: int) -> mmap.mmap:
    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, size, trackfd=False)
    return mmap.mmap(descriptor, size)


def store_word(memory: mmap.mmap, field: tuple[int, int, str], value: int) -> None:
    """Store one 32-bit word that only the message server writes."""
    offset, size, _writer = field
    memory[offset : offset + size] = value.to_bytes(size, sys.byteorder)


def wake_descriptor() -> int:
    """A descriptor to share with apps: who waits for its edges is woken by `wake`."""
    return os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def wake(descriptor: int) -> None:
    """Wake who waits, and never wait.

    An app shares the descriptor's flags and its count: it can take the flag back that keeps a write from
    waiting, and fill the count. A write that adds nothing always fits, and is an edge for epoll all the same.
    """
    os.eventfd_write(descriptor, 0)


class SharedMailbox:
    """The memory of one mailbox and the descriptor that wakes its owner.

    Attributes:
        memory_fd: the memory, until both ends were handed out; then -1.
        event_fd: wakes the owner; -1 likewise.
    """

    def __init__(self) -> None:
        self.memory_fd = sealed_memory("kos-mailbox", message.MAILBOX_SIZE)
        self.event_fd = wake_descriptor()
        self._memory = map_memory(self.memory_fd, message.MAILBOX_SIZE)
        fields = message.MAILBOX_FIELDS
        store_word(self._memory, fields["magic"], message.MAILBOX_MAGIC)
        store_word(self._memory, fields["version"], message.LAYOUT_VERSION)
        store_word(self._memory, fields["state"], message.STATE_OPEN)

    def close(self, state: int) -> None:
        """Mark the mailbox and wake a holder that waits in it.

        The words can be written back by either end, so this is a prompt for honest apps; what stops a
        dishonest one is that the owner drops its mapping on `Event.CLOSED`.
        """
        store_word(self._memory, message.MAILBOX_FIELDS["state"], state)
        offset = message.MAILBOX_FIELDS["holder_event"][0]
        atomic_add(self._memory, offset, 1)
        futex_wake(self._memory, offset)

    @property
    def queue_dropped(self) -> int:
        """Messages that the holder says it could not queue."""
        offset, size, _writer = message.MAILBOX_FIELDS["queue_dropped"]
        return int.from_bytes(self._memory[offset : offset + size], sys.byteorder)

    def close_descriptors(self) -> None:
        """Both ends have theirs: keep only the mapping."""
        for descriptor in (self.memory_fd, self.event_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self.memory_fd = self.event_fd = -1

    def release(self) -> None:
        self.close_descriptors()
        self._memory.close()


class AppPage:
    """What the message server tells one app without being asked: that `NEXT_EVENT` has something."""

    def __init__(self) -> None:
        self.memory_fd = sealed_memory("kos-app-page", message.APP_PAGE_SIZE)
        self._memory = map_memory(self.memory_fd, message.APP_PAGE_SIZE)
        seal_against_writing(self.memory_fd)
        store_word(self._memory, message.APP_PAGE_FIELDS["magic"], message.APP_PAGE_MAGIC)
        store_word(self._memory, message.APP_PAGE_FIELDS["version"], message.LAYOUT_VERSION)
        self.event_fd = wake_descriptor()
        self.completion_fd = wake_descriptor()

    def announce_event(self) -> None:
        atomic_add(self._memory, message.APP_PAGE_FIELDS["event_seq"][0], 1)
        wake(self.event_fd)

    def announce_completion(self) -> None:
        wake(self.completion_fd)

    def release(self) -> None:
        for descriptor in (self.memory_fd, self.event_fd, self.completion_fd):
            os.close(descriptor)
        self._memory.close()


class SharedBuffer:
    """Bulk memory that its creator writes and others, who hold a token for it, read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.memory_fd = sealed_memory("kos-buffer", size)

    def share(self) -> None:
        """Another slot holds it: from the first time on, new mappings are read-only.

        Raises:
            PermissionError: its creator forbade that, with a seal of its own.
        """
        seal_against_writing(self.memory_fd)

    def release(self) -> None:
        os.close(self.memory_fd)


class TraceRing:
    """Memory in which one app leaves a record of each message; the trace server reads it.

    Attributes:
        memory_fd: the memory, for the app to write.
        reader_fd: the same, to read only; opened before the app could forbid it.
    """

    def __init__(self, record_size: int) -> None:
        self.size = trace.ring_size(record_size)
        self.memory_fd = sealed_memory("kos-trace", self.size)
        header = map_memory(self.memory_fd, trace.HEADER_SIZE)
        store_word(header, trace.FIELDS["magic"], trace.MAGIC)
        store_word(header, trace.FIELDS["version"], trace.VERSION)
        store_word(header, trace.FIELDS["record_size"], record_size)
        header.close()
        self.reader_fd = os.open(f"/proc/self/fd/{self.memory_fd}", os.O_RDONLY | os.O_CLOEXEC)

    def release(self) -> None:
        os.close(self.memory_fd)
        os.close(self.reader_fd)
