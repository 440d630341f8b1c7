"""The weather that simulated sensors sense: plausible, and the same for the same time and seed. Pure."""

from __future__ import annotations

import math
from collections import namedtuple
from zlib import crc32

_DAY = 86_400.0  # seconds
_MINUTE = 60 / _DAY  # days


class Conditions(namedtuple("_Conditions", "temperature pressure humidity")):
    """Temperature in °C, pressure in Pa, relative humidity in %."""

    __slots__ = ()


class Environment:
    """A mild place: a daily course, and slower and faster waves whose phases come from the seed."""

    def __init__(self, seed: int = 0) -> None:
        self._phases = [crc32(f"{seed} {wave}".encode()) / 2**32 * math.tau for wave in range(8)]

    def at(self, seconds: float) -> Conditions:
        """The conditions at a time in seconds since 1970."""
        daily = math.sin(math.tau * (seconds / _DAY - 0.375))  # warmest at 15:00
        temperature = 21.0 + 5.0 * daily + 1.5 * self._wave(0, seconds, 5.3)
        temperature += 0.2 * self._wave(1, seconds, 0.03) + 0.03 * self._wave(6, seconds, _MINUTE)
        # Pressure changes over days; humidity falls as it gets warmer.
        pressure = 101_325.0 + 900.0 * self._wave(2, seconds, 4.1) + 60.0 * self._wave(3, seconds, 0.4)
        pressure += 3.0 * self._wave(7, seconds, _MINUTE)
        humidity = 52.0 - 2.2 * (temperature - 21.0) + 8.0 * self._wave(4, seconds, 2.7)
        humidity += 0.5 * self._wave(5, seconds, 0.02)
        return Conditions(temperature, pressure, min(max(humidity, 5.0), 95.0))

    def _wave(self, index: int, seconds: float, days: float) -> float:
        return math.sin(math.tau * seconds / (_DAY * days) + self._phases[index])
