"""The I2C server's settings, checked. Pure."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping

from kos.abi.errors import KosError
from kos.services.i2c.bus import ADDRESS_MAX, ADDRESS_MIN

_KNOWN = {"bus", "port", "bus_speed", "devices", "simulate", "seed"}
SEED_MAX = (1 << 53) - 1


class I2CConfig(namedtuple("_I2CConfig", "bus port devices simulate seed")):
    """`devices`: app → set of addresses it may use; `simulate`: address → model, empty on hardware."""

    __slots__ = ()


def parse(config: Mapping[str, object]) -> I2CConfig:
    """Settings from the manifest's `config` of the I2C server.

    Raises:
        KosError: an unknown or missing setting, or an address outside the usable ones.
    """
    unknown = set(config) - _KNOWN
    if unknown:
        raise KosError(f"unknown setting of the I2C server: {', '.join(sorted(unknown))}")
    bus = config.get("bus")
    if not isinstance(bus, str):
        raise KosError(f"the I2C server needs the name of its bus, found {bus!r}")
    port = config.get("port", f"kos_{bus}_protocol")
    seed = config.get("seed", 0)
    if not isinstance(port, str) or not isinstance(seed, int) or not 0 <= seed <= SEED_MAX:
        raise KosError(f"expected port to be a name and seed a whole number, found {port!r} and {seed!r}")
    devices = {}
    for app, listed in _table(config, "devices").items():
        if not isinstance(listed, list):
            raise KosError(f"devices.{app}: expected a list of addresses, found {listed!r}")
        devices[app] = frozenset(_address(entry, f"devices.{app}") for entry in listed)
    simulate = {}
    for address, model in _table(config, "simulate").items():
        if not isinstance(model, str):
            raise KosError(f"simulate.{address}: expected the name of a model, found {model!r}")
        simulate[_address(address, "simulate")] = model
    return I2CConfig(bus, port, devices, simulate, seed)


def _table(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = config.get(name, {})
    if not isinstance(value, Mapping):
        raise KosError(f"{name}: expected a table, found {value!r}")
    return value


def _address(value: object, where: str) -> int:
    """A 7-bit address; a JSON key writes it as text, such as "0x76"."""
    try:
        address = int(value, 0) if isinstance(value, str) else value
    except ValueError:
        address = None
    if isinstance(address, bool) or not isinstance(address, int) or not ADDRESS_MIN <= address <= ADDRESS_MAX:
        raise KosError(
            f"{where}: expected an address of {ADDRESS_MIN:#04x} to {ADDRESS_MAX:#04x}, found {value!r}"
        )
    return address
