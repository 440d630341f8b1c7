"""QEMU's command line for one guest. Pure.

Every device that a microVM has is named here; there is no other. The machine's own serial port leads nowhere.
"""

from __future__ import annotations

from collections import namedtuple

from kos.services.vmm.config import Disk, Guest

# Where things are: QEMU itself and its libraries, and in the sandbox the app's image and data.
Place = namedtuple("Place", "qemu libraries image data", defaults=("/usr/lib/kos/qemu/lib", "/app", "/data"))

# QEMU's own filter, on top of the app's (qemu-options.hx, -sandbox).
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
_THREADS_MAX = 4  # that serve disks; QEMU's default of 64 would not fit into the app's limit
ARGUMENTS = "console=hvc0 panic=1"  # a guest that panics ends, so that the restart rule applies


def command(guest: Guest, place: Place, console: int, control: int) -> list[str]:
    """The command; `console` and `control` are descriptors of connected sockets that QEMU inherits."""
    line = f"{ARGUMENTS} {guest.cmdline}".strip()
    machine, processor = ("virt,gic-version=host", "host") if guest.accel == "kvm" else ("virt", "cortex-a53")
    arguments = [place.qemu, "-name", guest.name, "-nodefaults", "-no-user-config", "-display", "none"]
    arguments += ["-sandbox", _SANDBOX, "-machine", machine, "-accel", guest.accel, "-cpu", processor]
    arguments += ["-smp", "1", "-m", f"size={guest.memory}B", "-action", "reboot=shutdown,panic=shutdown"]
    arguments += ["-object", f"main-loop,id=main-loop,thread-pool-max={_THREADS_MAX}"]
    arguments += ["-kernel", f"{place.image}/kernel", "-initrd", f"{place.image}/initrd", "-append", line]
    arguments += ["-chardev", f"socket,id=control,fd={control}", "-mon", "chardev=control,mode=control"]
    arguments += ["-chardev", f"socket,id=console,fd={console}"]
    arguments += ["-device", "virtio-serial-device,max_ports=1", "-device", "virtconsole,chardev=console"]
    # The last device on virtio-mmio is the first that the guest finds.
    for number, disk in reversed(list(enumerate(guest.disks))):
        arguments += _disk_arguments(number, disk, disk_path(place, disk))
    if guest.net:
        arguments += ["-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-device,netdev=net"]
    return arguments


def disk_path(place: Place, disk: Disk) -> str:
    """Where a disk's image is: writable ones are the app's data, the others part of its image."""
    return f"{place.image}/disks/{disk.image}" if disk.readonly else f"{place.data}/{disk.image}"


def _disk_arguments(number: int, disk: Disk, path: str) -> list[str]:
    only = "on" if disk.readonly else "off"
    return [
        "-blockdev",
        f"driver=raw,node-name=disk{number},read-only={only},file.driver=file,file.filename={path}",
        "-device",
        f"virtio-blk-device,drive=disk{number},serial={disk.image[:20]}",
    ]
