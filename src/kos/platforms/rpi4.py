"""Raspberry Pi 4 Model B: BCM2711, four Cortex-A72, flashed to an SD card."""

from kos.platforms.board import MIB, Board, BootLoader

_FIRMWARE = "firmware-rpi:usr/lib/raspi-firmware"

BOARDS = {
    "aarch64": Board(
        name="rpi4",
        arch="aarch64",
        memory=2048 * MIB,
        console="ttyS1,115200",
        kernel_set="kernel-arm64",
        # Two supplies of the SD card are a fixed and a GPIO regulator: modules in Debian's kernel.
        boot_modules=("fixed", "gpio_regulator", "sdhci_iproc", "mmc_block", "bcm2835_dma"),
        modules=(
            "genet",
            "broadcom",
            "bcm2835_wdt",
            "i2c_bcm2835",
            "i2c_dev",
        ),
        device_tree="broadcom/bcm2711-rpi-4-b.dtb",
        loader=BootLoader(
            package_set="uboot-rpi",
            files={"u-boot.bin": "usr/lib/u-boot/rpi_4/u-boot.bin"},
            storage="mmc 0",
            scratch=0x02500000,
            start="booti",
            unpack_at=(0x08000000, 96 * MIB),
            # `booti` copies the unpacked kernel to where the packed one was; U-Boot's own leave 37.5 MiB.
            loads={"kernel_addr_r": 0x00080000, "fdt_addr_r": 0x06000000, "ramdisk_addr_r": 0x06100000},
        ),
        boot_size=32 * MIB,
        # The first stages read these from the first FAT partition; config.txt has them start U-Boot.
        boot_files={
            "start4.elf": f"{_FIRMWARE}/start4.elf",
            "fixup4.dat": f"{_FIRMWARE}/fixup4.dat",
            "bcm2711-rpi-4-b.dtb": "kernel-arm64:broadcom/bcm2711-rpi-4-b.dtb",
            "u-boot.bin": "u-boot.bin",
        },
        boot_texts={
            "config.txt": "arm_64bit=1\nenable_uart=1\nkernel=u-boot.bin\ndevice_tree=bcm2711-rpi-4-b.dtb\n"
            "gpu_mem=16\n",
        },
        devices=((0xFC000000, 0x03800000),),  # the main peripherals
        i2c={"i2c1": "/dev/i2c-1"},
        sources={
            "devices": "BCM2711 ARM Peripherals, 1.2.4, low peripheral mode: 0xfc000000 to 0xff7fffff",
            "memory": "Raspberry Pi 4 Model B product brief: 1 GB at least; 2 GB and more are used when "
            "there",
            "storage": "Linux 6.12, bcm2711-rpi-4-b.dts, emmc2: the SD card; U-Boot 2025.01 calls it mmc 0",
            "boot offsets": "Raspberry Pi documentation, boot sequence of the Raspberry Pi 4: the EEPROM "
            "reads start4.elf, fixup4.dat and config.txt from the first FAT partition of an MBR or GPT disk",
            "load addresses": "U-Boot 2025.01, board/raspberrypi/rpi/rpi.env for the kernel; cmd/booti.c: "
            "the others must lie behind the unpacked kernel",
            "device tree": "Linux 6.12, arch/arm64/boot/dts/broadcom/bcm2711-rpi-4-b.dts",
            "console": "Linux 6.12, bcm2711-rpi-4-b.dts, /chosen/stdout-path: UART1 on pins 8 and 10; "
            "Raspberry Pi documentation, config.txt: enable_uart",
            "Ethernet": "Linux 6.12, bcm2711-rpi-4-b.dts, genet with a PHY of Broadcom",
            "I2C buses": "Linux 6.12, bcm2711-rpi-4-b.dts: i2c0 and i2c1 are on and have no aliases; i2c1 is "
            "on pins 3 and 5",
        },
    ),
}
