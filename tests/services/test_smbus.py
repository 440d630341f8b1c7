"""kos.app.smbus has smbus2's interface, and drivers from PyPI run over it unchanged."""

from __future__ import annotations

import importlib.util
import inspect
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import smbus2

from tests.device.systems import RunningSystem, install
from tests.services.systems import client, ports_of, service
from tests.services.weather import was_so

PORT = "kos_i2c2_protocol"
SEED = 42


@pytest.fixture(scope="module")
def smbus(extension: None) -> Any:
    from kos.app import smbus

    return smbus


def bus_of(devices: dict[str, list[int]]) -> dict[str, Any]:
    config = {
        "bus": "i2c2",
        "devices": devices,
        "simulate": {"0x76": "bme280", "0x77": "bmp280", "0x48": "lm75"},
        "seed": SEED,
    }
    return service("i2c", PORT, config=config)


def started(
    directory: Path, apps: dict[str, dict[str, Any]], packages: tuple[str, ...] = ()
) -> RunningSystem:
    """A system whose apps also have these installed packages in their images, as a build puts them there."""
    install(directory, apps, ports_of(apps))
    for site in (directory / "store" / "images").glob("*/site"):
        for package in packages:
            spec = importlib.util.find_spec(package)
            assert spec and spec.origin
            shutil.copytree(Path(spec.origin).parent, site / package)
    return RunningSystem(directory)


def test_every_method_of_smbus2_is_there_with_its_arguments(smbus: Any) -> None:
    for name, theirs in inspect.getmembers(smbus2.SMBus, inspect.isfunction):
        if not name.startswith("_"):
            ours = inspect.signature(getattr(smbus.SMBus, name))
            assert list(ours.parameters) == list(inspect.signature(theirs).parameters), name
    for flag in smbus.I2cFunc:
        assert smbus2.I2cFunc[flag.name] == flag


@pytest.mark.parametrize("data", [b"\x00\xff", [1, 2], "\x01\xe9", (), b""])
def test_messages_look_as_those_of_smbus2(smbus: Any, data: Any) -> None:
    ours, theirs = smbus.i2c_msg.write(0x76, data), smbus2.i2c_msg.write(0x76, data)
    for view in (bytes, list, len, str, repr):
        assert view(ours) == view(theirs)
    assert (ours.addr, ours.flags, ours.len) == (theirs.addr, theirs.flags, theirs.len)
    assert [ours.buf[at] for at in range(ours.len)] == [theirs.buf[at] for at in range(theirs.len)]
    assert bytes(smbus.i2c_msg.read(0x76, 3)) == bytes(smbus2.i2c_msg.read(0x76, 3))


@pytest.mark.parametrize("bus", [2, "/dev/i2c-2", "i2c2", "2"])
def test_a_bus_is_named_by_number_path_or_name(smbus: Any, bus: int | str) -> None:
    assert smbus.port_of(bus) == PORT


def test_packet_error_checking_is_refused(smbus: Any) -> None:
    bus = smbus.SMBus()
    with pytest.raises(OSError, match="SMBUS_PEC is not a feature"):
        bus.enable_pec()
    with pytest.raises(OSError, match="SMBUS_PEC is not a feature"):
        bus.pec = 1
    bus.enable_pec(False)
    assert bus.pec == 0


def test_limits_are_those_of_smbus(smbus: Any) -> None:
    bus = smbus.SMBus()
    for call in (
        lambda: bus.read_i2c_block_data(0x76, 0, 33),
        lambda: bus.write_i2c_block_data(0x76, 0, [0] * 33),
        lambda: bus.write_block_data(0x76, 0, [0] * 33),
        lambda: bus.block_process_call(0x76, 0, [0] * 33),
    ):
        with pytest.raises(ValueError, match="at most 32 bytes"):
            call()
    with pytest.raises(OSError, match="not open"):
        bus.read_byte(0x76)
    with pytest.raises(TypeError):
        smbus.SMBus(1.5)


EVERY_CALL = """
    from kos.app.smbus import SMBus, i2c_msg
    def error(call, *arguments):
        try:
            return call(*arguments)
        except OSError as problem:
            return problem.errno
    def main():
        with SMBus(2) as bus:
            print("id", bus.read_byte_data(0x76, 0xd0))
            bus.write_byte(0x76, 0xd0)
            print("byte", bus.read_byte(0x76))
            print("word", bus.read_word_data(0x76, 0x88))
            bus.write_word_data(0x48, 3, 0x8028)
            print("threshold", bus.read_i2c_block_data(0x48, 3, 2))
            bus.write_i2c_block_data(0x48, 2, [0x20, 0])
            print("call", bus.process_call(0x48, 2, 0x0021))
            bus.write_quick(0x48)
            write, read = i2c_msg.write(0x76, [0x88]), i2c_msg.read(0x76, 26)
            bus.i2c_rdwr(write, read)
            print("calibration", bytes(read)[:2].hex(), list(read)[25])
            print("other bus", error(SMBus, 3))
            print("errors", error(bus.read_byte, 0x77), error(bus.read_byte, 0x50), error(bus.read_byte, 200))
            long = i2c_msg.write(0x76, b"x" * 4096)
            print("too long", error(bus.i2c_rdwr, *[read] * 43), error(bus.i2c_rdwr, long))
"""


def test_every_call_reaches_the_device(tmp_path: Path) -> None:
    apps = {"i2c2_server": bus_of({"user": [0x48, 0x50, 0x76]}), "user": client(EVERY_CALL, PORT)}
    with started(tmp_path, apps) as system:
        system.wait_for("| id 96")
        system.wait_for("| byte 96")
        system.wait_for(f"| word {27504}")
        system.wait_for("| threshold [40, 128]")
        system.wait_for("| call 33")
        system.wait_for("| calibration 706b 75")
        system.wait_for("| other bus 2")  # ENOENT
        system.wait_for("| errors 13 6 13")  # EACCES: not granted; ENXIO: nobody there
        system.wait_for("| too long 22 90")  # EINVAL, EMSGSIZE


def test_one_app_cannot_reach_another_ones_device(tmp_path: Path) -> None:
    source = """
        from kos.app.smbus import SMBus
        def main():
            bus, found = SMBus(2), []
            for address in range(8, 120):
                try:
                    bus.read_byte(address)
                    found.append(hex(address))
                except PermissionError:
                    pass
            print("found", found)
    """
    apps = {
        "i2c2_server": bus_of({"one": [0x76], "two": [0x48]}),
        "one": client(source, PORT),
        "two": client(source, PORT),
        "three": client(source, PORT),
    }
    with started(tmp_path, apps) as system:
        system.wait_for("| one                | found ['0x76']")
        system.wait_for("| two                | found ['0x48']")
        system.wait_for("| three              | found []")


def test_a_greedy_app_does_not_keep_the_bus(tmp_path: Path) -> None:
    greedy = """
        from kos.app.smbus import SMBus, i2c_msg
        def main():
            bus = SMBus(2)
            while True:
                bus.i2c_rdwr(i2c_msg.write(0x76, [0]), i2c_msg.read(0x76, 4000))
    """
    modest = """
        from kos.app.smbus import SMBus
        def main():
            bus = SMBus(2)
            for _ in range(200):
                bus.read_i2c_block_data(0x48, 0, 2)
            print("200 readings")
    """
    apps = {
        "i2c2_server": bus_of({"greedy": [0x76], "second": [0x76], "modest": [0x48]}),
        "greedy": client(greedy, PORT),
        "second": client(greedy, PORT),
        "modest": client(modest, PORT),
    }
    with started(tmp_path, apps) as system:
        system.wait_for("| 200 readings")


DRIVERS = {
    # RPi.bme280, which is given a bus
    "rpi_bme280": (
        ("bme280", "pytz"),
        """
        from kos.app import smbus
        smbus.install()
        import smbus2, bme280
        def main():
            bus = smbus2.SMBus(2)
            sample = bme280.sample(bus, 0x76, bme280.load_calibration_params(bus, 0x76), sampling=5)
            print("measured", sample.temperature, sample.pressure, sample.humidity)
        """,
    ),
    # Pimoroni's bmp280, which opens SMBus(1) by itself
    "pimoroni_bmp280": (
        ("bmp280", "i2cdevice"),
        """
        from kos.app import smbus
        smbus.install(bus="i2c2")
        import bmp280
        def main():
            sensor = bmp280.BMP280(i2c_addr=0x77)
            sensor.setup(mode="forced")
            print("measured", sensor.get_temperature(), sensor.get_pressure(), "nan")
        """,
    ),
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_from_pypi_reads_the_simulated_weather(tmp_path: Path, driver: str) -> None:
    packages, source = DRIVERS[driver]
    apps = {"i2c2_server": bus_of({"user": [0x76, 0x77]}), "user": client(source, PORT)}
    began = time.time()
    with started(tmp_path, apps, packages) as system:
        line = system.wait_for("| measured ")
    temperature, pressure, humidity = map(float, line.split("measured ")[1].split())
    assert was_so(SEED, began, temperature, pressure * 100, humidity), line
