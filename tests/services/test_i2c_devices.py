"""Simulated devices against their data sheets."""

from struct import unpack

import pytest

from kos.services.i2c.bus import Message
from kos.services.i2c.devices.bme280 import (
    _EMPTY,
    CONFIG,
    CTRL_HUM,
    CTRL_MEAS,
    DATA,
    ID,
    IM_UPDATE,
    MEASURING,
    RESET,
    RESET_WORD,
    STATUS,
    Bme280,
)
from kos.services.i2c.devices.bmp280 import Bmp280
from kos.services.i2c.devices.bosch_compensation import Calibration, invert
from kos.services.i2c.devices.lm75 import CONF, TEMP, THYST, TOS, Lm75
from kos.services.i2c.environment import Environment
from kos.services.i2c.simulated import SimulatedBus

ENVIRONMENT = Environment(7)
START = 1_700_000_000.0
FORCED_X1 = 1 << 5 | 1 << 2 | 1
NORMAL_X16 = 5 << 5 | 5 << 2 | 3


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Wires:
    """Registers of a device over a simulated bus, as a driver sees them."""

    def __init__(self, model: type[Bme280] | type[Lm75]) -> None:
        self.clock = Clock()
        self.bus = SimulatedBus({0x76: model(ENVIRONMENT, self.clock)})
        self.clock.now += 1

    def get(self, register: int, size: int) -> bytes:
        return self.bus.transfer([Message(0x76, bytes([register])), Message(0x76, size=size, read=True)])

    def put(self, *data: int) -> None:
        self.bus.transfer([Message(0x76, bytes(data))])


# --- compensation -------------------------------------------------------------------------------------


def test_the_worked_example_of_the_data_sheet() -> None:
    calibration = Calibration()
    fine = calibration.fine(519888)
    assert fine == 128422
    assert calibration.temperature(519888) == 2508
    assert calibration.pressure(415148, fine) / 256 == pytest.approx(100653.27, abs=0.05)


@pytest.mark.parametrize("temperature", [-40.0, -0.01, 0.0, 21.3, 85.0])
@pytest.mark.parametrize("pressure", [30_000.0, 101_325.0, 110_000.0])
@pytest.mark.parametrize("humidity", [0.0, 45.5, 99.0])
def test_the_inverse_comes_back(temperature: float, pressure: float, humidity: float) -> None:
    calibration = Calibration()
    adc_t = invert(calibration.temperature, temperature * 100, 20)
    fine = calibration.fine(adc_t)
    adc_p = invert(lambda adc: calibration.pressure(adc, fine), pressure * 256, 20, falling=True)
    adc_h = invert(lambda adc: calibration.humidity(adc, fine), humidity * 1024, 16)
    assert calibration.temperature(adc_t) / 100 == pytest.approx(temperature, abs=0.011)
    assert calibration.pressure(adc_p, fine) / 256 == pytest.approx(pressure, abs=0.5)
    assert calibration.humidity(adc_h, fine) / 1024 == pytest.approx(humidity, abs=0.02)


def test_calibration_registers_have_the_layout_of_the_data_sheet() -> None:
    wires = Wires(Bme280)
    low, high = wires.get(0x88, 26), wires.get(0xE1, 7)
    assert unpack("<Hhh", low[:6]) == (27504, 26435, -1000)
    assert unpack("<H8h", low[6:24]) == (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
    assert low[25] == 75
    assert unpack("<hB", high[:3]) == (370, 0)
    assert high[3] << 4 | high[4] & 0x0F == 313
    assert high[5] << 4 | high[4] >> 4 == 50
    assert high[6] == 30


# --- BME280 -------------------------------------------------------------------------------------------


def test_identity() -> None:
    assert Wires(Bme280).get(ID, 1) == b"\x60"
    assert Wires(Bmp280).get(ID, 1) == b"\x58"


def test_sleeps_until_told_and_measures_once_when_forced() -> None:
    wires = Wires(Bme280)
    assert wires.get(DATA, 8) == _EMPTY
    wires.put(CTRL_HUM, 1, CTRL_MEAS, FORCED_X1)
    assert wires.get(STATUS, 1)[0] & MEASURING
    assert wires.get(DATA, 8) == _EMPTY
    wires.clock.now += 0.008  # 9.1: 1 + 2 + 2.5 + 2.5 ms
    assert not wires.get(STATUS, 1)[0] & MEASURING
    first = wires.get(DATA, 8)
    assert first != _EMPTY
    assert wires.get(CTRL_MEAS, 1)[0] & 3 == 0
    wires.clock.now += 7200
    assert wires.get(DATA, 8) == first


def test_measures_again_and_again_in_normal_mode() -> None:
    wires = Wires(Bme280)
    wires.put(CONFIG, 5 << 5)
    wires.put(CTRL_HUM, 5)
    wires.put(CTRL_MEAS, NORMAL_X16)
    seen = set()
    for _ in range(5):
        wires.clock.now += 3600
        seen.add(wires.get(DATA, 8))
    assert len(seen) == 5
    assert wires.get(CTRL_MEAS, 1)[0] == NORMAL_X16


def decoded(data: bytes) -> tuple[float, float, float]:
    calibration = Calibration()
    adc_t = int.from_bytes(data[3:6], "big") >> 4
    fine = calibration.fine(adc_t)
    pressure = calibration.pressure(int.from_bytes(data[0:3], "big") >> 4, fine) / 256
    humidity = calibration.humidity(int.from_bytes(data[6:8], "big"), fine) / 1024
    return calibration.temperature(adc_t) / 100, pressure, humidity


def test_what_is_measured_is_the_environment() -> None:
    wires = Wires(Bme280)
    wires.put(CTRL_HUM, 5, CTRL_MEAS, NORMAL_X16)
    wires.clock.now += 10
    temperature, pressure, humidity = decoded(wires.get(DATA, 8))
    expected = ENVIRONMENT.at(wires.clock.now)
    assert temperature == pytest.approx(expected.temperature, abs=0.02)
    assert pressure == pytest.approx(expected.pressure, abs=2)
    assert humidity == pytest.approx(expected.humidity, abs=0.05)


def test_less_oversampling_gives_fewer_bits() -> None:
    wires = Wires(Bme280)
    wires.put(CTRL_HUM, 1, CTRL_MEAS, FORCED_X1)
    wires.clock.now += 1
    data = wires.get(DATA, 6)
    assert (data[2], data[5]) == (0, 0)


def test_a_skipped_measurement_keeps_its_reset_value() -> None:
    wires = Wires(Bme280)
    wires.put(CTRL_MEAS, 1 << 5 | 1)
    wires.clock.now += 1
    data = wires.get(DATA, 8)
    assert (data[0:3], data[6:8]) == (_EMPTY[0:3], _EMPTY[6:8])
    assert data[3:6] != _EMPTY[3:6]


def test_humidity_settings_count_only_after_ctrl_meas() -> None:
    wires = Wires(Bme280)
    wires.put(CTRL_MEAS, NORMAL_X16)
    wires.put(CTRL_HUM, 1)
    wires.clock.now += 10
    assert wires.get(DATA + 6, 2) == _EMPTY[6:8]
    wires.put(CTRL_MEAS, NORMAL_X16)
    wires.clock.now += 10
    assert wires.get(DATA + 6, 2) != _EMPTY[6:8]


def test_reset_forgets_and_copies_the_calibration_anew() -> None:
    wires = Wires(Bme280)
    wires.put(CTRL_HUM, 5, CTRL_MEAS, NORMAL_X16)
    wires.clock.now += 1
    wires.put(RESET, 0x00)
    assert wires.get(CTRL_MEAS, 1)[0] == NORMAL_X16
    wires.put(RESET, RESET_WORD)
    assert wires.get(STATUS, 1)[0] & IM_UPDATE
    assert wires.get(DATA, 8) == _EMPTY
    wires.clock.now += 0.002
    assert wires.get(STATUS, 1) == b"\0"
    assert wires.get(CTRL_HUM, 1) + wires.get(CTRL_MEAS, 1) == b"\0\0"


def test_reading_counts_up_from_the_register_that_was_set() -> None:
    wires = Wires(Bme280)
    assert wires.get(ID - 1, 3)[1] == 0x60
    wires.bus.transfer([Message(0x76, bytes([ID - 1]))])
    read_one = [Message(0x76, size=1, read=True)]
    assert [wires.bus.transfer(read_one) for _ in range(2)] == [b"\0", b"\x60"]


def test_bmp280_has_no_humidity() -> None:
    wires = Wires(Bmp280)
    wires.put(CTRL_HUM, 5)
    wires.put(CTRL_MEAS, NORMAL_X16)
    wires.clock.now += 10
    assert wires.get(CTRL_HUM, 1) + wires.get(DATA + 6, 2) + wires.get(0xE1, 7) == bytes(10)
    assert wires.get(DATA, 3) != _EMPTY[:3]


# --- LM75 ---------------------------------------------------------------------------------------------


def test_lm75_measures_in_eighths_of_a_degree() -> None:
    wires = Wires(Lm75)
    value = int.from_bytes(wires.get(TEMP, 2), "big", signed=True) / 256
    assert value == pytest.approx(ENVIRONMENT.at(wires.clock.now).temperature, abs=0.0626)
    assert value % 0.125 == 0


def test_lm75_keeps_its_thresholds() -> None:
    wires = Wires(Lm75)
    assert (wires.get(THYST, 2), wires.get(TOS, 2)) == (b"\x4b\x00", b"\x50\x00")
    wires.put(TOS, 0x28, 0x80)
    wires.put(CONF, 0x01)
    assert (wires.get(TOS, 4), wires.get(CONF, 1)) == (b"\x28\x80\x28\x80", b"\x01")
    wires.put(TEMP, 0x7F, 0xFF)
    assert wires.get(TEMP, 2) != b"\x7f\xff"


# --- the environment ----------------------------------------------------------------------------------


def test_the_weather_is_plausible_and_repeats() -> None:
    for hour in range(24 * 60):
        conditions = ENVIRONMENT.at(START + hour * 3600)
        assert 10 < conditions.temperature < 32
        assert 99_000 < conditions.pressure < 104_000
        assert 5 <= conditions.humidity <= 95
    assert Environment(7).at(START) == ENVIRONMENT.at(START) != Environment(8).at(START)


def test_the_weather_changes_slowly() -> None:
    for minute in range(24 * 60):
        now, then = ENVIRONMENT.at(START + minute * 60), ENVIRONMENT.at(START + minute * 60 + 60)
        assert abs(now.temperature - then.temperature) < 0.2
        assert abs(now.pressure - then.pressure) < 5
