"""The I2C server: one process for each bus."""

from __future__ import annotations

from kos import app
from kos.services import serving
from kos.services.i2c import linux, simulated
from kos.services.i2c.bus import Bus
from kos.services.i2c.config import I2CConfig, parse
from kos.services.i2c.server import I2CServer


def open_bus(config: I2CConfig) -> Bus:
    """The bus that the settings name: simulated as soon as one device on it is."""
    if config.simulate:
        return simulated.build(config.simulate, config.seed)
    return linux.LinuxBus(linux.device_path(config.bus))


def main() -> None:
    config = parse(app.config())
    server = app.Server()
    serving.bind(server, config.port, I2CServer(open_bus(config), config.devices).answer)
    app.ready()
    server.serve()
