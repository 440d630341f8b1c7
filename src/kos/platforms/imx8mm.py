"""What the boards with an NXP i.MX 8M Mini have in common: four Cortex-A53, boot from eMMC, the vendor's
U-Boot.

Debian has no U-Boot for it, because its DDR firmware may not be redistributed: the user passes the vendor's
build.
"""

from kos.platforms.board import MIB, BootLoader

LOADER = BootLoader(
    package_set="",
    files={},
    storage="mmc 2",
    scratch=0x43500000,
    start="booti",
    unpack_at=(0x50000000, 96 * MIB),
    # A vendor's environment may have other names for them, or none.
    loads={"kernel_addr_r": 0x42000000, "fdt_addr_r": 0x48000000, "ramdisk_addr_r": 0x48080000},
)
# The ROM reads the boot image from byte 33 KiB of the user area of an SD card or eMMC.
RAW = {33 * 1024: "flash.bin"}
BOOT_MODULES = ("sdhci_esdhc_imx", "mmc_block")
MODULES = ("fec", "at803x", "imx2_wdt", "i2c_imx", "i2c_dev")
FIRST_PARTITION = 8 * MIB
# AIPS-1 to AIPS-3, AIPS-4, and GPU and VPU.
DEVICES = ((0x30000000, 0x00C00000), (0x32C00000, 0x00400000), (0x38000000, 0x00400000))
SOURCES = {
    "devices": "Linux 6.12, arch/arm64/boot/dts/freescale/imx8mm.dtsi: buses at 0x30000000, 0x30400000, "
    "0x30800000 and 0x32c00000, of 4 MiB each; GPU and VPU from 0x38000000 on",
    "boot offsets": "i.MX 8M Mini Reference Manual (IMX8MMRM), 6.1.5.1: the ROM reads the image at 33 KiB of "
    "SD and eMMC; U-Boot 2025.01, doc/board/nxp/imx8mm_evk.rst: flash.bin at 33 KiB",
    "load addresses": "U-Boot 2025.01, board/freescale/imx8mm_evk/imx8mm_evk.env; DRAM begins at 0x40000000",
}
