"""The microVM's host side."""

from __future__ import annotations

import sys
import threading

from kos import app
from kos.abi.debug import ENVIRON_CONSOLE
from kos.abi.services import VM_SNAPSHOT, VM_SNAPSHOT_READ
from kos.app.shell import channel
from kos.services import serving
from kos.services.vmm import config, disks
from kos.services.vmm.command import Place
from kos.services.vmm.console import Console, Port
from kos.services.vmm.machine import Machine
from kos.services.vmm.snapshots import Snapshots
from kos.services.vmm.status import status
from kos.services.vmm.terminal import Terminal

QEMU = "/usr/lib/kos/qemu/qemu-system-aarch64"


def main() -> int:
    """Run the guest until it ends."""
    place = Place(QEMU)
    try:
        guest = config.parse(app.name(), app.config())
        made = disks.prepare(guest, place)
    except (ValueError, OSError) as error:
        print(f"vmm: {error}", file=sys.stderr)
        return 1
    console = Console(guest.ready)
    machine = Machine(guest, place, console, app.ready)
    for name in made:
        machine.say(f"made the disk {name}")
    channel.serve(ENVIRON_CONSOLE, lambda sender: Terminal(console, machine.type_in, sender))
    if guest.port:
        threading.Thread(target=_serve, args=(machine, console, place), daemon=True).start()
    return machine.run()


def _serve(machine: Machine, console: Console, place: Place) -> None:
    """The console's port. The machine has the main thread, which signals come to."""
    server = app.Server()
    snapshots = Snapshots(machine.guest, place, machine.paused)
    more = {VM_SNAPSHOT: snapshots.take, VM_SNAPSHOT_READ: snapshots.read}
    port = Port(console, machine.type_in, lambda: status(machine), more)
    serving.bind(server, machine.guest.port, port.answer)
    server.serve()
