"""Run one guest by the service's own machine, in software emulation and outside the sandbox, for tests.

`run_guest.py IMAGE DATA CONFIG`: the console is standard output, standard input is typed into the guest.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading

from kos.services.vmm import config, disks
from kos.services.vmm.command import Place
from kos.services.vmm.console import Console
from kos.services.vmm.machine import Machine
from kos.services.vmm.status import status


def main() -> int:
    image, data, settings = sys.argv[1:]
    guest = config.parse("guest", {**json.loads(settings), "accel": "tcg"})
    place = Place(shutil.which("qemu-system-aarch64"), "", image, data)
    disks.prepare(guest, place)
    machine = Machine(guest, place, Console(guest.ready), lambda: machine.say("ready"))

    def typed() -> None:
        for line in sys.stdin.buffer:
            if line == b"status\n":
                machine.say(f"status {status(machine).decode()}")
            elif line == b"pid\n":
                machine.say(f"pid {machine.pid}")
            else:
                machine.type_in(line)

    threading.Thread(target=typed, daemon=True).start()
    code = machine.run()
    os._exit(code)  # the reader of standard input may still wait


if __name__ == "__main__":
    main()
