"""BeagleBone Black: TI AM335x, one Cortex-A8, flashed to an SD card."""

from kos.platforms.board import MIB, Board, BootLoader

BOARDS = {
    "aarch32": Board(
        name="am335x",
        arch="aarch32",
        memory=512 * MIB,
        console="ttyS0,115200",
        kernel_set="kernel-armmp",
        boot_modules=("omap_hsmmc", "sdhci_omap", "mmc_block"),
        modules=("ti_cpsw_new", "davinci_mdio", "smsc", "omap_wdt", "i2c_omap", "i2c_dev"),
        device_tree="am335x-boneblack.dtb",
        loader=BootLoader(
            package_set="uboot-omap",
            files={
                "MLO": "usr/lib/u-boot/am335x_boneblack/MLO",
                "u-boot.img": "usr/lib/u-boot/am335x_boneblack/u-boot.img",
            },
            storage="mmc 0",
            scratch=0x80000000,
            start="bootz",
            unpack_at=(0x85000000, 64 * MIB),
            loads={"kernel_addr_r": 0x82000000, "fdt_addr_r": 0x88000000, "ramdisk_addr_r": 0x88080000},
        ),
        # The ROM takes a raw MLO at 0, 128, 256 or 384 KiB; ours are at 128 and 256 KiB, beside the GPT. The
        # MLO then loads u-boot.img from sector 0x300.
        raw={0x20000: "MLO", 0x40000: "MLO", 0x60000: "u-boot.img"},
        first_partition=4 * MIB,
        # L4_WKUP, L4_PER, L4_FAST
        devices=((0x44C00000, 0x00400000), (0x48000000, 0x01000000), (0x4A000000, 0x01000000)),
        i2c={"i2c0": "/dev/i2c-0", "i2c2": "/dev/i2c-2"},
        sources={
            "devices": "AM335x Technical Reference Manual (SPRUH73Q), 2.1, table 2-1: the L3 memory map",
            "memory": "BeagleBone Black System Reference Manual, 5.3; Linux 6.12, am335x-boneblack.dts, "
            "/memory",
            "storage": "BeagleBone Black System Reference Manual, 6.5: the SD card is on MMC0",
            "boot offsets": "AM335x Technical Reference Manual (SPRUH73Q), 26.1.8.5: in raw mode the ROM "
            "looks for the image at 0, 128, 256 and 384 KiB; U-Boot 2025.01, common/spl/Kconfig, "
            "SYS_MMCSD_RAW_MODE_U_BOOT_SECTOR: 0x300 on OMAP",
            "load addresses": "Debian's u-boot-omap 2025.01, environment of am335x_boneblack",
            "device tree": "Linux 6.12, arch/arm/boot/dts/ti/omap/am335x-boneblack.dts",
            "console": "Linux 6.12, am335x-boneblack.dts, /chosen/stdout-path: UART0, the 6-pin header",
            "Ethernet": "Linux 6.12, am335x-bone-common.dtsi, mac_sw: the CPSW switch driver, port 1",
            "I2C buses": "Linux 6.12, am335x-boneblack.dts, aliases i2c0 and i2c2; i2c1 is off",
        },
    ),
}
