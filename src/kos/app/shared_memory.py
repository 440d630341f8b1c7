"""Atomic 32-bit words in a writable buffer such as an mmap: what the message server shares with apps.

Knows no layout; offsets are the caller's.
"""

from kos.app._native import atomic_add, futex_wake

__all__ = ["atomic_add", "futex_wake"]
