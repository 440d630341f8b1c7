"""QEMU's `virt` machine: the reference simulator, with a real kernel, for arm64 and arm."""

from kos.platforms.board import MIB, Board, BootLoader

_SOURCES = (
    "QEMU documentation, system/arm/virt.rst: RAM from 0x40000000, PL011, virtio over PCI, two flash banks",
    "U-Boot 2025.01, doc/board/emulation/qemu-arm.rst, include/configs/qemu-arm.h: load addresses",
    "U-Boot 2025.01, configs/qemu_arm64_defconfig: environment in the second flash bank (CONFIG_ENV_ADDR)",
)
_ENVIRONMENT = {
    "fdt_high": "0xffffffff",
    "initrd_high": "0xffffffff",
    "kernel_addr_r": "0x40400000",
    "ramdisk_addr_r": "0x44000000",
    "stderr": "serial",
    "stdin": "serial",
    "stdout": "serial",
}
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
        loader=BootLoader(
            package_set="uboot-qemu",
            files={"u-boot.bin": "usr/lib/u-boot/qemu_arm64/u-boot.bin"},
            storage="virtio 0",
            scratch=0x48000000,
            start="booti",
            unpack_at=(0x50000000, 96 * MIB),
            environment=_ENVIRONMENT,
        ),
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
        loader=BootLoader(
            package_set="uboot-qemu",
            files={"u-boot.bin": "usr/lib/u-boot/qemu_arm/u-boot.bin"},
            storage="virtio 0",
            scratch=0x48000000,
            start="bootz",
            unpack_at=(0x50000000, 96 * MIB),
            environment=_ENVIRONMENT,
        ),
        sources=_SOURCES,
    ),
}
