"""Faults in who holds which part of the machine."""

from tests.assurance.world import World, fault, near_miss


def give(w: World, app: str, *resources: dict) -> None:
    w.app(app)["resources"] += resources


@fault("overlapping-frames")
def two_apps_with_the_same_registers(w: World) -> None:
    give(w, "sensor", {"type": "mmio", "base": 0x30200000, "size": 0x1000})
    give(w, "station", {"type": "mmio", "base": 0x30200800, "size": 0x1000})


@fault("overlapping-frames")
def registers_inside_a_larger_range(w: World) -> None:
    give(w, "sensor", {"type": "mmio", "base": 0x30200000, "size": 0x10000})
    give(w, "station", {"type": "mmio", "base": 0x30204000, "size": 0x1000})


@near_miss("overlapping-frames")
def two_apps_with_neighbouring_registers(w: World) -> None:
    give(w, "sensor", {"type": "mmio", "base": 0x30200000, "size": 0x1000})
    give(w, "station", {"type": "mmio", "base": 0x30201000, "size": 0x1000})


@fault("held-twice")
def two_apps_with_one_interrupt(w: World) -> None:
    give(w, "sensor", {"type": "interrupt", "number": 40})
    give(w, "station", {"type": "interrupt", "number": 40})


@fault("held-twice")
def two_apps_with_one_gpio_line(w: World) -> None:
    give(w, "sensor", {"type": "gpio", "chip": "gpio1", "lines": [3, 4]})
    give(w, "station", {"type": "gpio", "chip": "gpio1", "lines": [4, 5]})


@fault("held-twice")
def two_apps_with_one_serial_device(w: World) -> None:
    give(w, "sensor", {"type": "serial", "device": "ttymxc2"})
    give(w, "station", {"type": "serial", "device": "ttymxc2"})


@near_miss("held-twice")
def two_apps_with_different_lines_of_one_chip(w: World) -> None:
    give(w, "sensor", {"type": "gpio", "chip": "gpio1", "lines": [3, 4]})
    give(w, "station", {"type": "gpio", "chip": "gpio1", "lines": [5]})
    give(w, "station", {"type": "gpio", "chip": "gpio2", "lines": [4]})


@fault("shared-bus-address")
def two_apps_with_one_bus_address(w: World) -> None:
    w.app("i2c2_server")["config"]["devices"]["station"] = [0x76]


@near_miss("shared-bus-address")
def two_apps_with_neighbouring_bus_addresses(w: World) -> None:
    w.app("i2c2_server")["config"]["devices"]["station"] = [0x77]


@fault("whole-bus")
def ordinary_app_with_a_whole_bus(w: World) -> None:
    give(w, "sensor", {"type": "i2c", "bus": "i2c3"})


@near_miss("whole-bus")
def second_i2c_server(w: World) -> None:
    w.copy_app("i2c2_server", "i2c3_server", resources=[{"type": "i2c", "bus": "i2c3"}])
    w.app("i2c3_server")["config"]["devices"] = {}


@fault("dma-for-ordinary-app")
def ordinary_app_with_dma(w: World) -> None:
    give(w, "sensor", {"type": "dma"})


@near_miss("dma-for-ordinary-app")
def core_driver_with_dma(w: World) -> None:
    give(w, "ethernet", {"type": "dma"})


@fault("address-outside-board")
def registers_that_are_ram(w: World) -> None:
    give(w, "sensor", {"type": "mmio", "base": 0x40000000, "size": 0x1000})


@fault("address-outside-board")
def registers_that_reach_beyond_the_devices(w: World) -> None:
    give(w, "sensor", {"type": "mmio", "base": 0x30FFF000, "size": 0x2000})


@near_miss("address-outside-board")
def last_registers_of_the_devices(w: World) -> None:
    give(w, "sensor", {"type": "mmio", "base": 0x30FFF000, "size": 0x1000})
