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
        devices=imx8mm.DEVICES,
        usb_flash=True,
        sources={
            **imx8mm.SOURCES,
            "memory": "Arduino Portenta X8 datasheet (ABX00049): 2 GB LPDDR4",
            "storage": "Arduino Portenta X8 datasheet (ABX00049): 16 GB eMMC; on USDHC3 as on NXP's board",
            "device tree": "Arduino's Linux has one, Linux 6.12 has none: the boot loader's own is handed "
            "over",
            "console": "Arduino Portenta X8 datasheet (ABX00049): UART3 is for debugging; Linux counts from "
            "0",
            "Ethernet": "Arduino Portenta X8 datasheet (ABX00049): the processor's controller, a PHY beside "
            "it",
            "I2C buses": "i.MX 8M Mini Reference Manual (IMX8MMRM), 16.1: four buses, which Linux counts "
            "from 0",
        },
    ),
}
