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
        if device.exists():
            self._descriptor = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
            self.set_period(seconds)

    def set_period(self, seconds: float) -> None:
        """Seconds without being fed until it resets the device; 0 stops it."""
        self.seconds = seconds
        if seconds <= 0:
            self.disarm()
        elif self._descriptor is not None:
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
