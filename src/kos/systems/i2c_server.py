"""`I2CServer`: one app that owns an I2C bus and lets other apps speak to the devices that they were granted.

    ctx.put_app(sensor).put_app(I2CServer(Poukai.i2c2, devices={"sensor": [0x76]}))

What its app reads with `kos.app.config()`:
`{"bus", "port", "bus_speed", "devices": {app: [address]}, "simulate": {"0x76": model}}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kos.manifest import AccessControl, App, Context, I2CBus, ManifestError, Port, ServiceImage
from kos.manifest.where import user_location

MSG0 = "msg0"
# I2C specification (NXP UM10204 rev. 7.0), 3.1.12: 0x00 to 0x07 and 0x78 to 0x7f are reserved.
ADDRESS_MIN, ADDRESS_MAX = 0x08, 0x77
BUS_SPEEDS = (100_000, 400_000, 1_000_000)  # Hz: standard, fast, fast mode plus


@dataclass(frozen=True)
class Bus:
    """An I2C bus of a board, such as `Bus("i2c2")`, which is `Poukai.i2c2`."""

    name: str

    @property
    def port(self) -> Port:
        """The port that the bus's server serves, for `connect_protocol`."""
        return Port(f"kos_{self.name}_protocol", MSG0)

    @property
    def server(self) -> str:
        """The name of the app that serves it."""
        return f"{self.name}_server"


@dataclass(frozen=True)
class I2CServer:
    """Puts the server app of one bus, its port, and a client connection for each app in `devices`.

    Attributes:
        bus: a `Bus`, or its name.
        bus_speed: in Hz.
        devices: app → the 7-bit addresses that it may use. The apps must be in the system already.
        simulate: address → device model, such as `{0x76: "bme280"}`. With it, the server touches no hardware.
        priority: of the server app.
    """

    bus: Bus | str
    bus_speed: int = 400_000
    devices: Mapping[str, Sequence[int]] | None = None
    simulate: Mapping[int, str] | None = None
    priority: int = 130

    def setup(self, ctx: Context) -> Context:
        bus = self.bus if isinstance(self.bus, Bus) else Bus(self.bus)
        self._check(bus)
        devices = self.devices or {}
        ctx = ctx.put_port(bus.port).put_app(
            App(
                bus.server,
                ServiceImage("kos.services.i2c.main:main"),
                priority=self.priority,
                critical=True,
                # A simulated bus has no hardware to hold.
                resources=[] if self.simulate else [I2CBus(bus.name)],
                config=self._config(bus),
                access={bus.port.msg_server: {bus.port.name: AccessControl.server()}},
            )
        )
        for app in devices:
            # An app that says so itself is connected already.
            granted = ctx.apps[app].access.get(bus.port.msg_server, {}) if app in ctx.apps else {}
            if bus.port.name not in granted:
                ctx = ctx.connect_protocol(app, bus.port)
        return ctx

    def _config(self, bus: Bus) -> dict[str, Any]:
        return {
            "bus": bus.name,
            "port": bus.port.name,
            "bus_speed": self.bus_speed,
            "devices": {app: sorted(addresses) for app, addresses in (self.devices or {}).items()},
            "simulate": {f"{address:#04x}": model for address, model in (self.simulate or {}).items()},
        }

    def _check(self, bus: Bus) -> None:
        if self.bus_speed not in BUS_SPEEDS:
            speeds = ", ".join(map(str, BUS_SPEEDS))
            raise _wrong(f"{bus.name}: bus_speed is {self.bus_speed}, expected one of {speeds} Hz")
        used = [(app, address) for app, addresses in (self.devices or {}).items() for address in addresses]
        used += [("simulate", address) for address in self.simulate or {}]
        for app, address in used:
            if isinstance(address, bool) or not isinstance(address, int):
                raise _wrong(f"{bus.name}: {app}: expected a 7-bit address such as 0x76, found {address!r}")
            if not ADDRESS_MIN <= address <= ADDRESS_MAX:
                low_high = f"{ADDRESS_MIN:#04x} to {ADDRESS_MAX:#04x}"
                raise _wrong(f"{bus.name}: {app}: address {address:#04x} is outside {low_high}")


def _wrong(message: str) -> ManifestError:
    return ManifestError(message, where=user_location())
