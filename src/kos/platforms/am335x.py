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
        ),
        # The ROM takes a raw MLO at 0, 128, 256 or 384 KiB; ours are at 128 and 256 KiB, beside the GPT. The
        # MLO then loads u-boot.img from sector 0x300.
        raw={0x20000: "MLO", 0x40000: "MLO", 0x60000: "u-boot.img"},
        first_partition=4 * MIB,
        i2c={"i2c0": "/dev/i2c-0", "i2c1": "/dev/i2c-1", "i2c2": "/dev/i2c-2"},
        sources=(
            "AM335x Technical Reference Manual (SPRUH73Q), 26.1.8.5, MMC/SD boot: in raw mode the ROM looks "
            "for the image at 0x0, 0x20000, 0x40000 and 0x60000",
            "U-Boot 2025.01, doc/board/ti/am335x_evm.rst, configs/am335x_evm_defconfig: "
            "CONFIG_SYS_MMCSD_RAW_MODE_U_BOOT_SECTOR 0x300 by default of SPL for OMAP",
            "U-Boot 2025.01, include/configs/ti_armv7_common.h: loadaddr 0x82000000, fdtaddr 0x88000000, "
            "rdaddr 0x88080000",
            "BeagleBone Black System Reference Manual, rev C: 512 MB DDR3, UART0 console, I2C0 and I2C2, "
            "SD card on MMC0",
            "Linux 6.12, arch/arm/boot/dts/ti/omap/am335x-boneblack.dts",
        ),
    ),
}
