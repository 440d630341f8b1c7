"""Process 1: from the kernel to a running system, and what happens when that system ends.

It must not run apps itself, and must not end: an error that it does not expect reboots the device, so that
the boot loader counts the attempt and falls back.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback

from kos.device.init import mounts, system
from kos.device.init.watchdog import Watchdog
from kos.device.store import generations
from kos.device.store.store import Store

_RB_AUTOBOOT, _RB_POWER_OFF = 0x01234567, 0x4321FEDC


def main() -> None:
    """What the image's /usr/lib/kos/init runs."""
    try:
        run()
    except BaseException:
        traceback.print_exc()
        end(_RB_AUTOBOOT)


def say(text: str) -> None:
    """A line of our own on the console, in the console's form."""
    print(f"|{time.monotonic():11.3f}| {'init':<18} | {text}", flush=True)


def run() -> None:
    os.environ.clear()
    os.environ.update({"PATH": "/usr/sbin:/usr/bin", "HOME": "/", "LANG": "C.UTF-8"})
    mounts.mount_base()
    mounts.load_drivers()
    mounts.mount_storage()
    words = mounts.command_line()
    watchdog = Watchdog(30.0)
    store = Store(mounts.DATA / "store")
    store.recover()
    choice = generations.choose(store.generations(), store.current(), words.get("slot", ""), 3)
    for changed in choice.changed.values():
        store.put_generation(changed)
    generation = store.generations()[choice.run]
    say(f"generation {generation.number}, release {generation.release}, slot {words.get('slot')}")
    system.prepare(store, mounts.DATA, mounts.KEYS)
    manifest = store.manifest(generation)
    pid = system.start(lambda: system.run_supervisor(manifest))
    while True:
        watchdog.feed()
        done, status = os.waitpid(-1, 0)
        if done == pid:
            say(f"the supervisor ended with {status}")
            watchdog.disarm()
            end(_RB_POWER_OFF)


def end(how: int) -> None:
    """Write everything to the storage and leave."""
    os.sync()
    sys.stdout.flush()
    ctypes.CDLL(None).reboot(how)
    signal.pause()
