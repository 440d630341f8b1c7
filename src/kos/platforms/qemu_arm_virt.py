"""QEMU's `virt` machine: the reference simulator, with a real kernel, for arm64 and arm."""

from kos.platforms.board import MIB, Board, BootLoader

_DEVICES = ((0x09000000, 0x37000000),)  # from the UART to the end of PCIe; RAM follows
_SOURCES = {
    "devices": "QEMU 10.0, hw/arm/virt.c, base_memmap: VIRT_UART0 at 0x09000000, PCIe up to 0x40000000",
    "memory": "QEMU documentation, system/arm/virt.rst: RAM begins at 0x40000000; the size is our choice",
    "storage": "QEMU documentation, system/arm/virt.rst: virtio over PCI",
    "boot offsets": "U-Boot 2025.01, doc/board/emulation/qemu-arm.rst: U-Boot is in the first flash bank; "
    "configs/qemu_arm64_defconfig, CONFIG_ENV_ADDR: its environment is in the second",
    "load addresses": "U-Boot 2025.01, board/emulation/qemu-arm/qemu-arm.env; for 32-bit Arm the kernel's is "
    "our choice, clear of where it is unpacked to",
    "device tree": "QEMU documentation, system/arm/virt.rst: QEMU makes it",
    "console": "QEMU documentation, system/arm/virt.rst: a PL011",
    "Ethernet": "QEMU documentation, system/devices/net.rst: virtio-net",
    "I2C buses": "QEMU documentation, system/arm/virt.rst: the machine has none",
}
_ENVIRONMENT = {
    "fdt_high": "0xffffffff",
    "initrd_high": "0xffffffff",
    "kernel_addr_r": "0x40400000",
    "ramdisk_addr_r": "0x44000000",
    "stderr": "serial",
    "stdin": "serial",
    "stdout": "serial",
}
# The kernel would test each of its ciphers against known answers at every start. That finds a broken
# accelerator, of which the emulator has none, and takes a third of the kernel's start. Boards keep it.
_ARGUMENTS = "cryptomgr.notests=1"
_MODULES = ("virtio_net", "virtio_rng", "softdog", "virtio_balloon")

BOARDS = {
    "aarch64": Board(
        name="qemu-arm-virt",
        arch="aarch64",
        memory=1024 * MIB,
        console="ttyAMA0,115200",
        kernel_set="kernel-cloud",
        boot_modules=("virtio_blk", "virtio_pci", "virtio_mmio"),
        modules=_MODULES,
        device_tree="",
        kernel_arguments=_ARGUMENTS,
        loader=BootLoader(
            package_set="uboot-qemu",
            files={"u-boot.bin": "usr/lib/u-boot/qemu_arm64/u-boot.bin"},
            storage="virtio 0",
            scratch=0x48000000,
            start="booti",
            unpack_at=(0x50000000, 96 * MIB),
            environment=_ENVIRONMENT,
        ),
        devices=_DEVICES,
        sources=_SOURCES,
    ),
    "aarch32": Board(
        name="qemu-arm-virt",
        arch="aarch32",
        memory=1024 * MIB,
        console="ttyAMA0,115200",
        kernel_set="kernel-armmp",
        boot_modules=("virtio_blk", "virtio_pci", "virtio_mmio"),
        modules=_MODULES,
        device_tree="",
        kernel_arguments=_ARGUMENTS,
        loader=BootLoader(
            package_set="uboot-qemu",
            files={"u-boot.bin": "usr/lib/u-boot/qemu_arm/u-boot.bin"},
            storage="virtio 0",
            scratch=0x48000000,
            start="bootm",
            unpack_at=(0x50000000, 96 * MIB),
            environment=_ENVIRONMENT,
            ram=0x40000000,
            # Beyond where the kernel is unpacked to, which is from 0x40208000.
            loads={"kernel_addr_r": 0x50000000},
        ),
        devices=_DEVICES,
        sources=_SOURCES,
    ),
}
