"""Arduino Portenta X8: i.MX 8M Mini, its Cortex-A53 side, flashed to its eMMC by `uuu` over USB-C."""

from kos.platforms import imx8mm
from kos.platforms.board import MIB, Board

BOARDS = {
    "aarch64": Board(
        name="portenta-x8",
        arch="aarch64",
        memory=2048 * MIB,
        console="ttymxc2,115200",
        kernel_set="kernel-arm64",
        boot_modules=imx8mm.BOOT_MODULES,
        modules=imx8mm.MODULES,
        # Linux has no tree of this board: the vendor's boot loader hands over its own.
        device_tree="",
        loader=imx8mm.LOADER,
        raw=imx8mm.RAW,
        first_partition=imx8mm.FIRST_PARTITION,
        i2c={"i2c1": "/dev/i2c-0", "i2c2": "/dev/i2c-1", "i2c3": "/dev/i2c-2", "i2c4": "/dev/i2c-3"},
        usb_flash=True,
        sources=(
            *imx8mm.SOURCES,
            "Arduino Portenta X8 datasheet (ABX00049): i.MX 8M Mini, 2 GB LPDDR4, 16 GB eMMC, UART3 console",
            "Arduino, portenta-x8 user manual: programming mode and uuu over USB-C",
        ),
    ),
}
