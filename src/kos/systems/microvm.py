"""`MicroVM`: a small Linux guest as an app, with exactly what the manifest gives it.

    ctx.put_app(MicroVM("guest", initrd="guest", ram="64M", blk=[Disk("data.img", size="16M")], net=True))

What its app reads with `kos.app.config()`: `{"memory", "cmdline", "disks": [{"image", "readonly", "size"}],
"net", "console_port", "ready", "shutdown"}`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kos.abi.services import PORT_INTERNET
from kos.manifest import (
    AccessControl,
    App,
    Context,
    Kvm,
    ManifestError,
    Port,
    Restart,
    Storage,
    VmImage,
    limits,
)
from kos.manifest.where import user_location
from kos.systems.i2c_server import MSG0

_MIB = 1 << 20
_UNITS = {"": 1, "K": 1 << 10, "M": _MIB, "G": 1 << 30}
_SIZE = re.compile(r"([1-9][0-9]{0,9})([KMG]?)")
ENTRY = "kos.services.vmm.main:main"
RAM_MIN, RAM_MAX = 16 * _MIB, 64 << 30
# What QEMU and the service need beside the guest's RAM: with Debian's kernel, of which QEMU keeps a copy of
# 30 MiB, 90 MiB were seen.
OVERHEAD = 128 * _MIB
PROCESSES = 32  # threads of QEMU and of the service
SECTOR = 512
CPUS_MAX = NETS_MAX = CONSOLES_MAX = 1


@dataclass(frozen=True)
class Disk:
    """A disk of the guest.

    Attributes:
        image: a file of the project, read-only for the guest; with `size`, the name or first content of a
            writable disk.
        size: such as "16M"; makes the disk writable. It is kept on the data partition, also over upgrades.
        blank: the disk is empty at first, and `image` only its name.
        snapshots: read-only copies of it may be taken, one at a time; the storage has room for it.
    """

    image: str
    size: str | int | None = None
    blank: bool = False
    snapshots: bool = False

    @property
    def name(self) -> str:
        return self.image.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class MicroVM:
    """A microVM: one processor, RAM, one console, at most one network device and five disks.

    Attributes:
        name: of its app.
        initrd: a file, or a directory of which the build makes one; relative to the project.
        kernel: a Linux kernel image; None means the platform's own.
        ram: of the guest, such as "128M".
        cmdline: added to the kernel's command line.
        blk: its disks, in the order in which the guest finds them; a path is a read-only image.
        net: whether it has a network: outbound, through the tunnel, under the app's own address.
        console_port: of the guest's console; None means NAME_console_protocol.
        ready: what the console must show before the app counts as ready; "" means that QEMU runs.
        shutdown: what is typed to ask the guest to end, such as "poweroff\\n"; it is told by its power
            button too.
        restart: when the guest ends.
        priority: of the app.
        debug: people may open the console where the option remote_shell is on: `kos-tool console --vm`.
        cpus, nets, consoles: more than one is refused.
        os: of the guest; other than "linux" is refused.
    """

    name: str
    initrd: str | None = None
    kernel: str | None = None
    ram: str | int = "128M"
    cmdline: str = ""
    blk: Sequence[Disk | str] = ()
    net: bool | int = False
    console_port: str | None = None
    ready: str = ""
    shutdown: str = ""
    restart: Restart = field(default_factory=Restart)
    priority: int = 90
    debug: bool = False
    cpus: int = 1
    consoles: int = 1
    os: str = "linux"

    @property
    def port(self) -> Port:
        """The console's port, for `connect_protocol`."""
        return Port(self.console_port or f"{self.name}_console_protocol", MSG0)

    def setup(self, ctx: Context) -> Context:
        disks = [disk if isinstance(disk, Disk) else Disk(disk) for disk in self.blk]
        self._check(ctx, disks)
        ram = self._bytes("ram", self.ram)
        sizes = [self._bytes(f"disk {disk.name}", disk.size) if disk.size else 0 for disk in disks]
        # A new copy is made before the one before goes.
        kept = sum(size * (3 if disk.snapshots else 1) for disk, size in zip(disks, sizes, strict=True))
        ctx = ctx.put_port(self.port).put_app(
            App(
                self.name,
                VmImage(
                    ENTRY,
                    initrd=self.initrd or "",
                    kernel=self.kernel,
                    disks=tuple(disk.image for disk in disks if not disk.blank),
                ),
                priority=self.priority,
                memory=ram + OVERHEAD,
                processes=PROCESSES,
                restart=self.restart,
                debug=self.debug,
                # Half as much again: a file system's own blocks count too.
                resources=[Kvm(), *([Storage(kept + kept // 2 + _MIB)] if kept else [])],
                config=self._config(ram, disks, sizes),
                access={MSG0: {self.port.name: AccessControl.server()}},
            )
        )
        return ctx.connect_protocol(self.name, Port(PORT_INTERNET, MSG0)) if self.net else ctx

    def _config(self, ram: int, disks: list[Disk], sizes: list[int]) -> dict[str, Any]:
        return {
            "memory": ram,
            "cmdline": self.cmdline,
            "disks": [
                {"image": disk.name, "readonly": not size, "size": size}
                | ({"snapshots": True} if disk.snapshots else {})
                for disk, size in zip(disks, sizes, strict=True)
            ],
            "net": bool(self.net),
            "console_port": self.port.name,
            "ready": self.ready,
            "shutdown": self.shutdown,
        }

    def _check(self, ctx: Context, disks: list[Disk]) -> None:
        """The reference's limits; each refusal begins with its rule's name."""
        if not ctx.platform.hyp:
            raise self._wrong(
                "hyp-off",
                f"{ctx.platform} cannot run it",
                "build for qemu-arm-virt,hyp=on, imx8mm-evk,hyp=on or rpi4,hyp=on",
            )
        for rule, what, found, most in (
            ("one-cpu", "processors", self.cpus, CPUS_MAX),
            ("one-net", "network devices", int(self.net), NETS_MAX),
            ("one-console", "consoles", self.consoles, CONSOLES_MAX),
            ("five-disks", "disks", len(disks), limits.VM_DISKS_MAX),
        ):
            if found > most:
                raise self._wrong(rule, f"{found} {what}, a microVM has at most {most}")
        if self.os != "linux":
            raise self._wrong("linux-only", f"found {self.os!r}")
        if self.initrd is None:
            raise self._wrong(
                "initrd-missing", "a guest boots a kernel with an initrd", "name it: initrd=PATH"
            )
        if self.kernel == "":
            raise self._wrong(
                "kernel-missing", "kernel is empty", "leave it out for the platform's own kernel"
            )
        if not RAM_MIN <= self._bytes("ram", self.ram) <= RAM_MAX:
            raise self._wrong("ram", f"found {self.ram}, expected {RAM_MIN >> 20}M to {RAM_MAX >> 30}G")
        names = [disk.name for disk in disks]
        for name in names:
            if names.count(name) > 1:
                raise self._wrong("disk-name", f"two disks are called {name!r}")
            if "," in name or name.startswith("."):
                raise self._wrong("disk-name", f"{name!r} cannot be a disk's name")
        for disk in disks:
            if disk.blank and not disk.size:
                raise self._wrong("disk-size", f"{disk.name} is blank and needs a size")
            if disk.snapshots and not disk.size:
                raise self._wrong("disk-size", f"{disk.name} keeps snapshots and needs a size")
            if disk.size and self._bytes(f"disk {disk.name}", disk.size) % SECTOR:
                raise self._wrong("disk-size", f"{disk.name}: {disk.size} is no multiple of {SECTOR} bytes")

    def _bytes(self, what: str, text: str | int) -> int:
        if isinstance(text, int) and not isinstance(text, bool) and text > 0:
            return text
        match = _SIZE.fullmatch(text) if isinstance(text, str) else None
        if not match:
            raise self._wrong("size", f"{what}: expected a size such as 128M, found {text!r}")
        return int(match[1]) * _UNITS[match[2]]

    def _wrong(self, rule: str, message: str, hint: str | None = None) -> ManifestError:
        return ManifestError(f"microVM {self.name!r}: {rule}: {message}", where=user_location(), hint=hint)
