"""The hardware watchdog: resets the device when process 1 no longer feeds it (Linux, watchdog-api.rst)."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

_SETTIMEOUT = 0xC0045706  # WDIOC_SETTIMEOUT
DEVICE = Path("/dev/watchdog0")


class Watchdog:
    """An armed watchdog, or none where the device has none."""

    def __init__(self, seconds: float, device: Path = DEVICE) -> None:
        self.seconds = seconds
        self._descriptor: int | None = None
        if seconds <= 0 or not device.exists():
            return
        self._descriptor = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
        fcntl.ioctl(self._descriptor, _SETTIMEOUT, struct.pack("i", max(1, round(seconds))))

    @property
    def armed(self) -> bool:
        return self._descriptor is not None

    def feed(self) -> None:
        """One more period."""
        if self._descriptor is not None:
            os.write(self._descriptor, b"\0")

    def disarm(self) -> None:
        """Stop it: only before an orderly end."""
        if self._descriptor is not None:
            os.write(self._descriptor, b"V")
            os.close(self._descriptor)
            self._descriptor = None
