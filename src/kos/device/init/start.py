"""The first steps of process 1: drivers load on one processor while the rest of us is imported on the other.

It must not end: an error that nobody expects reboots the device, so that the boot loader counts the attempt
and falls back.
"""

from __future__ import annotations

import gc
import os
import time

from kos.device.init import mounts, power


def main() -> None:
    """What the image's /usr/lib/kos/init runs."""
    began = time.monotonic()
    try:
        gc.disable()  # there is no garbage among modules that stay
        os.environ.clear()
        os.environ.update({"PATH": "/usr/sbin:/usr/bin", "HOME": "/", "LANG": "C.UTF-8"})
        mounts.mount_base()
        drivers = mounts.start_drivers()
        from kos.device.init.main import run

        gc.freeze()  # what is imported by now is shared with every process that we fork
        gc.enable()
        run(began, drivers)
    except BaseException:
        import traceback

        traceback.print_exc()
        power.end(power.AGAIN)
