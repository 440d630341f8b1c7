"""NXP i.MX 8M Mini EVK, flashed to its eMMC by `uuu` over USB."""

from kos.platforms import imx8mm
from kos.platforms.board import MIB, Board

BOARDS = {
    "aarch64": Board(
        name="imx8mm-evk",
        arch="aarch64",
        memory=2048 * MIB,
        console="ttymxc1,115200",
        kernel_set="kernel-arm64",
        boot_modules=imx8mm.BOOT_MODULES,
        modules=imx8mm.MODULES,
        device_tree="freescale/imx8mm-evk.dtb",
        loader=imx8mm.LOADER,
        raw=imx8mm.RAW,
        first_partition=imx8mm.FIRST_PARTITION,
        i2c={"i2c1": "/dev/i2c-0", "i2c2": "/dev/i2c-1", "i2c3": "/dev/i2c-2"},
        devices=imx8mm.DEVICES,
        usb_flash=True,
        sources={
            **imx8mm.SOURCES,
            "memory": "Linux 6.12, imx8mm-evk.dtsi, /memory; Board Hardware User's Guide (IMX8MMEVKHUG): "
            "LPDDR4",
            "storage": "Linux 6.12, imx8mm-evk.dts, usdhc3: the eMMC, alias mmc2, which U-Boot has too",
            "device tree": "Linux 6.12, arch/arm64/boot/dts/freescale/imx8mm-evk.dts",
            "console": "Linux 6.12, imx8mm-evk.dtsi, /chosen/stdout-path: UART2, Linux's second",
            "Ethernet": "Linux 6.12, imx8mm-evk.dtsi, fec1 with an AR8031",
            "I2C buses": "Linux 6.12, imx8mm-evk.dtsi and aliases: i2c1 to i2c3, which Linux counts from 0",
        },
    ),
}
