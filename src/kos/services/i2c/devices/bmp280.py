"""Bosch BMP280: the BME280 without humidity. Source: data sheet BST-BMP280-DS001, sections 3 and 4."""

from __future__ import annotations

from kos.services.i2c.devices.bme280 import Bme280
from kos.services.i2c.simulated import register


class Bmp280(Bme280):
    """Same registers and formulas; its identity differs and the humidity registers do not exist."""

    chip_id = 0x58
    has_humidity = False


register("bmp280", Bmp280)
