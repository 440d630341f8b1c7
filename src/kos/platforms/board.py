"""What a board file says."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1 << 20

# Modules that every device needs, whatever its board: found missing at build time.
COMMON_MODULES = (
    "squashfs",
    "ext4",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "crc32c_generic",  # ext4 asks for it by the name of an algorithm
    "wireguard",
    "tun",
    "veth",
    "nf_tables",
    "nft_ct",
    "nft_reject_inet",
    "nft_chain_nat",
    "bridge",
    "fuse",
    "loop",
)


# What each board says where it has it from.
FACTS = (
    "memory",
    "storage",
    "boot offsets",
    "load addresses",
    "device tree",
    "console",
    "Ethernet",
    "I2C buses",
    "devices",
)


@dataclass(frozen=True)
class BootLoader:
    """A board's U-Boot and what the scripts that it runs need to know.

    Attributes:
        package_set: the SDK's set with it; empty where the user passes a vendor's build.
        files: name → path in the package.
        storage: U-Boot's interface and number of the storage: `virtio 0`.
        scratch: address of free memory for records and scripts.
        start: `booti` (arm64); `bootz` (arm), or `bootm` where the loader has room for an unpacked kernel
            (CONFIG_SYS_BOOTM_LEN) and so starts it sooner.
        unpack_at: address and size of the place where a compressed kernel is unpacked.
        environment: variables that its default environment has and ours must keep.
        ram: where RAM begins, for `bootm`.
        loads: variable with the address of the kernel, the device tree or the initramfs → address; what the
            loader itself has is used where it says nothing.
    """

    package_set: str
    files: dict[str, str]
    storage: str
    scratch: int
    start: str
    unpack_at: tuple[int, int]
    environment: dict[str, str] = field(default_factory=dict)
    ram: int = 0
    loads: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Board:
    """Facts of one board with one architecture.

    Attributes:
        name: as in a platform spec.
        arch: `aarch64` or `aarch32`.
        memory: bytes of RAM.
        console: Linux's name of the serial console with its speed.
        kernel_set: package set with the kernel.
        boot_modules: what the initramfs loads: the storage's drivers. The root's own file system is always
            there.
        modules: what the kernel may load later: Ethernet, watchdog, I2C, …
        device_tree: path below the kernel package's device trees; empty where the boot loader has it.
        loader: its boot loader.
        raw: byte offset on the storage → name of a file of the boot loader that is written there.
        first_partition: byte offset of the first partition.
        boot_files: name on the boot partition → file of the boot loader or of another set (`set:path`).
        boot_texts: name on the boot partition → its text.
        usb_flash: its storage is written over USB by `uuu`, not by putting a card into a reader.
        i2c: name of a bus in manifests → Linux's device.
        ethernet: Linux's name of the Ethernet interface.
        watchdog: Linux's watchdog device.
        kernel_arguments: added to the command line.
        devices: where devices' registers are: first address and size in bytes.
        hyp: it is built for microVMs: with QEMU.
        boot_size, bootfs_size, root_size: bytes of the boot partition and of each slot.
        sources: name of a fact, one of FACTS → where it is from.
    """

    name: str
    arch: str
    memory: int
    console: str
    kernel_set: str
    boot_modules: tuple[str, ...]
    modules: tuple[str, ...]
    device_tree: str
    loader: BootLoader
    sources: dict[str, str] = field(repr=False)
    raw: dict[int, str] = field(default_factory=dict)
    first_partition: int = 1 * MIB
    boot_files: dict[str, str] = field(default_factory=dict)
    boot_texts: dict[str, str] = field(default_factory=dict)
    usb_flash: bool = False
    i2c: dict[str, str] = field(default_factory=dict)
    ethernet: str = "eth0"
    watchdog: str = "/dev/watchdog0"
    kernel_arguments: str = ""
    devices: tuple[tuple[int, int], ...] = ()
    hyp: bool = False
    boot_size: int = 8 * MIB
    bootfs_size: int = 48 * MIB
    root_size: int = 96 * MIB

    @property
    def sets(self) -> tuple[str, ...]:
        """Every package set that an image for this board needs."""
        loader = (self.loader.package_set,) if self.loader.package_set else ()
        firmware = {source.split(":")[0] for source in self.boot_files.values() if ":" in source}
        monitor = ("microvm", "busybox") if self.hyp else ()
        return ("base", "network", "debugger", self.kernel_set, *loader, *sorted(firmware), *monitor)
