"""A bus that exists only in this process, with device models on it. It behaves as the wires would.

A model is a class in `kos.services.i2c.devices.<name>`, registered there under its name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from kos.abi.errors import KosError
from kos.abi.status import Status
from kos.services.i2c.bus import Bus, BusError, Message
from kos.services.i2c.environment import Environment


class Device:
    """A device as the bus sees it. A model keeps its own registers and register pointer."""

    def write(self, data: bytes) -> bool:
        """Take the bytes of one write message; False when the device does not acknowledge them."""
        raise NotImplementedError

    def read(self, size: int) -> bytes:
        """The `size` bytes that the device puts on the bus."""
        raise NotImplementedError


# Makes a device from the environment that it senses and a clock in seconds.
Model = Callable[[Environment, Callable[[], float]], Device]
_models: dict[str, Model] = {}


def register(name: str, model: Model) -> None:
    """Make `model` known under `name`, which is also the name of its module."""
    _models[name] = model


def model(name: str) -> Model:
    """The model called `name`; its module is imported now, so that a bus pays only for what is on it.

    Raises:
        KosError: there is none.
    """
    if name.isidentifier():
        try:
            __import__(f"kos.services.i2c.devices.{name}")
        except ModuleNotFoundError:
            pass  # told below, as for a module that registers nothing
    if name not in _models:
        raise KosError(f"there is no simulated device {name!r}", hint="see docs/packages/i2c_server.md")
    return _models[name]


class SimulatedBus(Bus):
    """Devices by their 7-bit addresses."""

    def __init__(self, devices: Mapping[int, Device]) -> None:
        self._devices = devices

    def transfer(self, messages: Sequence[Message]) -> bytes:
        answer = bytearray()
        for message in messages:
            device = self._devices.get(message.address)
            if device is None:
                raise BusError(Status.NOT_FOUND, f"nothing answers at {message.address:#04x}")
            if message.read:
                answer += device.read(message.size)
            elif not device.write(message.data):
                raise BusError(Status.UNAVAILABLE, f"{message.address:#04x} did not acknowledge a byte")
        return bytes(answer)


def build(models: Mapping[int, str], seed: int, clock: Callable[[], float] = time.time) -> SimulatedBus:
    """A bus with one device for each address; all of them sense the same environment."""
    environment = Environment(seed)
    return SimulatedBus({address: model(name)(environment, clock) for address, name in models.items()})
