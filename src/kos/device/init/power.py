"""How process 1 leaves: never by just ending."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

AGAIN, OFF = 0x01234567, 0x4321FEDC  # reboot(2)


def end(how: int) -> None:
    """Write everything to the storage and leave."""
    os.sync()
    sys.stdout.flush()
    ctypes.CDLL(None).reboot(how)
    signal.pause()
