"""The compensation formulas of Bosch's BME280 and BMP280, in whole numbers, and their inverse. Pure.

Source: BME280 data sheet (BST-BME280-DS002-15), 4.2.3 "Compensation formulas"; the names are its own. The
inverse is a search, because each formula rises or falls steadily over the range of its ADC value.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from struct import pack


class Calibration:
    """Trimming values of one chip.

    Temperature and pressure are the example of the BMP280 data sheet (BST-BMP280-DS001, 3.12), with known
    results: ADC 519888 and 415148 are 25.08 °C and 100653.27 Pa. Humidity's are the usual ones of a chip.
    """

    T1 = 27504
    T2 = 26435
    T3 = -1000
    P1 = 36477
    P2 = -10685
    P3 = 3024
    P4 = 2855
    P5 = 140
    P6 = -7
    P7 = 15500
    P8 = -14600
    P9 = 6000
    H1 = 75
    H2 = 370
    H3 = 0
    H4 = 313
    H5 = 50
    H6 = 30

    def low_registers(self) -> bytes:
        """Registers 0x88 to 0xa1 (table 16 of the data sheet)."""
        head = (self.T1, self.T2, self.T3)
        tail = (self.P2, self.P3, self.P4, self.P5, self.P6, self.P7, self.P8, self.P9)
        return pack("<HhhH8hBB", *head, self.P1, *tail, 0, self.H1)

    def high_registers(self) -> bytes:
        """Registers 0xe1 to 0xe7: H4 and H5 are 12 bits each and share register 0xe5."""
        shared = (self.H4 & 0x0F) | (self.H5 & 0x0F) << 4
        return pack("<hBbBbb", self.H2, self.H3, self.H4 >> 4, shared, self.H5 >> 4, self.H6)

    def fine(self, adc: int) -> int:
        """`t_fine` of a raw temperature."""
        var1 = ((adc >> 3) - (self.T1 << 1)) * self.T2 >> 11
        var2 = (((adc >> 4) - self.T1) * ((adc >> 4) - self.T1) >> 12) * self.T3 >> 14
        return var1 + var2

    def temperature(self, adc: int) -> int:
        """Temperature in 0.01 °C."""
        return (self.fine(adc) * 5 + 128) >> 8

    def pressure(self, adc: int, fine: int) -> int:
        """Pressure in 1/256 Pa."""
        var1 = fine - 128000
        var2 = var1 * var1 * self.P6 + (var1 * self.P5 << 17) + (self.P4 << 35)
        var1 = (var1 * var1 * self.P3 >> 8) + (var1 * self.P2 << 12)
        var1 = ((1 << 47) + var1) * self.P1 >> 33
        if var1 == 0:
            return 0
        value = ((1048576 - adc << 31) - var2) * 3125 // var1
        var1 = self.P9 * (value >> 13) * (value >> 13) >> 25
        var2 = self.P8 * value >> 19
        return (value + var1 + var2 >> 8) + (self.P7 << 4)

    def humidity(self, adc: int, fine: int) -> int:
        """Relative humidity in 1/1024 %."""
        value = fine - 76800
        left = ((adc << 14) - (self.H4 << 20) - self.H5 * value + 16384) >> 15
        right = (value * self.H6 >> 10) * ((value * self.H3 >> 11) + 32768) >> 10
        value = left * ((right + 2097152) * self.H2 + 8192 >> 14)
        value -= ((value >> 15) * (value >> 15) >> 7) * self.H1 >> 4
        return min(max(value, 0), 419430400) >> 12


def invert(formula: Callable[[int], int], wanted: float, bits: int, *, falling: bool = False) -> int:
    """The ADC value of `bits` bits whose compensated value is nearest below `wanted`."""
    values = range(1 << bits)
    if falling:
        return min(bisect_left(values, -wanted, key=lambda adc: -formula(adc)), values[-1])
    return max(bisect_right(values, wanted, key=formula) - 1, 0)
