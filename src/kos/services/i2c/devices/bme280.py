"""Bosch BME280: temperature, pressure, humidity. Source: data sheet BST-BME280-DS002-15.

Left out: the IIR filter (register `config` keeps its value), 3-wire SPI and noise.
"""

from __future__ import annotations

from collections.abc import Callable

from kos.services.i2c.devices.bosch_compensation import Calibration, invert
from kos.services.i2c.environment import Environment
from kos.services.i2c.simulated import register

ID, RESET, CTRL_HUM, STATUS, CTRL_MEAS, CONFIG, DATA = 0xD0, 0xE0, 0xF2, 0xF3, 0xF4, 0xF5, 0xF7
CALIBRATION_LOW, CALIBRATION_HIGH = 0x88, 0xE1
RESET_WORD = 0xB6
MEASURING, IM_UPDATE = 1 << 3, 1 << 0
SLEEP, NORMAL = 0, 3
START_UP = 0.002  # seconds; table 1
# 5.4.6, table 27: standby between measurements of normal mode, in seconds, by t_sb
STANDBY = (0.0005, 0.0625, 0.125, 0.25, 0.5, 1.0, 0.010, 0.020)
# What the data registers hold before the first measurement and for one that is skipped.
_EMPTY = bytes((0x80, 0, 0, 0x80, 0, 0, 0x80, 0))


def measurement_time(temperature: int, pressure: int, humidity: int) -> float:
    """Typical seconds of one measurement by the three oversampling rates (9.1)."""
    milliseconds = 1.0 + 2.0 * temperature
    milliseconds += 2.0 * pressure + 0.5 if pressure else 0.0
    milliseconds += 2.0 * humidity + 0.5 if humidity else 0.0
    return milliseconds / 1000


def _samples(code: int) -> int:
    """Oversampling of an osrs_… field: 0 is skipped; 5 and above are 16."""
    return (0, 1, 2, 4, 8, 16, 16, 16)[code]


class Bme280:
    """The register model. Time passes only by the clock that it was given."""

    chip_id = 0x60
    has_humidity = True

    def __init__(self, environment: Environment, clock: Callable[[], float]) -> None:
        self._environment = environment
        self._clock = clock
        self._calibration = Calibration()
        self._pointer = 0
        self._reset()

    def write(self, data: bytes) -> bool:
        """6.2.1: pairs of register and value; a single byte sets the register that is read next."""
        if data:
            self._pointer = data[-2] if len(data) % 2 == 0 else data[-1]
        for register_address, value in zip(data[0::2], data[1::2], strict=False):
            self._write_register(register_address, value)
        return True

    def read(self, size: int) -> bytes:
        """6.2.2: from the register that was set, counting up."""
        self._measure()
        image = self._image()
        start = self._pointer
        self._pointer = (start + size) & 0xFF
        return bytes(image[(start + offset) & 0xFF] for offset in range(size))

    def _reset(self) -> None:
        self._ctrl_hum = self._ctrl_hum_active = self._ctrl_meas = self._config = 0
        self._data = _EMPTY
        self._awake_at = self._clock() + START_UP
        self._started = self._done = 0.0
        self._pending = False

    def _write_register(self, address: int, value: int) -> None:
        self._measure()
        if address == RESET and value == RESET_WORD:
            self._reset()
        elif address == CTRL_HUM and self.has_humidity:
            self._ctrl_hum = value & 0x07
        elif address == CONFIG:
            self._config = value & 0xFD
        elif address == CTRL_MEAS:
            self._ctrl_meas = value
            self._ctrl_hum_active = self._ctrl_hum  # 5.4.3: effective only after a write to ctrl_meas
            self._pending = value & 3 != SLEEP
            self._started = max(self._clock(), self._awake_at)
            self._done = self._started + measurement_time(*self._oversampling())

    def _oversampling(self) -> tuple[int, int, int]:
        meas = self._ctrl_meas
        return _samples(meas >> 5), _samples(meas >> 2 & 7), _samples(self._ctrl_hum_active)

    def _measure(self) -> None:
        """Bring the data registers up to the present: what has completed by now is in them."""
        now = self._clock()
        if not self._pending or now < self._done:
            return
        if self._ctrl_meas & 3 == NORMAL:
            length = self._done - self._started
            cycle = length + STANDBY[self._config >> 5]
            self._started += (now - self._done) // cycle * cycle
            self._data = self._sense(self._started + length)
            self._started += cycle
            self._done = self._started + length
        else:
            self._data = self._sense(self._done)
            self._pending = False
            self._ctrl_meas &= ~3  # 3.3.3: after a forced measurement the sensor sleeps again

    def _sense(self, at: float) -> bytes:
        conditions = self._environment.at(at)
        temperature, pressure, humidity = self._oversampling()
        calibration = self._calibration
        adc_t = invert(calibration.temperature, conditions.temperature * 100, 20)
        fine = calibration.fine(adc_t)
        data = bytearray(_EMPTY)
        if pressure:
            adc_p = invert(
                lambda adc: calibration.pressure(adc, fine), conditions.pressure * 256, 20, falling=True
            )
            data[0:3] = _left_aligned(adc_p, pressure)
        if temperature:
            data[3:6] = _left_aligned(adc_t, temperature)
        if humidity:
            adc_h = invert(lambda adc: calibration.humidity(adc, fine), conditions.humidity * 1024, 16)
            data[6:8] = adc_h.to_bytes(2, "big")
        return bytes(data)

    def _image(self) -> bytearray:
        image = bytearray(256)
        low, high = self._calibration.low_registers(), self._calibration.high_registers()
        if not self.has_humidity:
            low, high = low[:24], b""
        image[CALIBRATION_LOW : CALIBRATION_LOW + len(low)] = low
        image[CALIBRATION_HIGH : CALIBRATION_HIGH + len(high)] = high
        now = self._clock()
        image[ID] = self.chip_id
        image[CTRL_HUM], image[CTRL_MEAS], image[CONFIG] = self._ctrl_hum, self._ctrl_meas, self._config
        image[STATUS] = MEASURING * (self._pending and self._started <= now < self._done)
        image[STATUS] |= IM_UPDATE * (now < self._awake_at)
        data = self._data if self.has_humidity else self._data[:6]
        image[DATA : DATA + len(data)] = data
        return image


def _left_aligned(adc: int, samples: int) -> bytes:
    """20 bits in three registers; 5.4: the filter being off, 16 bits and one more for each doubling."""
    unused = 4 - (samples.bit_length() - 1)
    return ((adc >> unused << unused) << 4).to_bytes(3, "big")


register("bme280", Bme280)
