"""Whether what a driver measured is what a simulated sensor sensed, whenever that was."""

from __future__ import annotations

import math
import time

from kos.services.i2c.environment import Environment

STEP = 0.5  # seconds, in which the weather changes by much less than a sensor resolves


def was_so(seed: int, began: float, temperature: float, pressure: float, humidity: float) -> bool:
    """Whether the weather was so at some time between `began` and now.

    A busy machine may need long from the one to the other, and the weather does not wait.

    Args:
        seed: of the weather.
        began: seconds since 1970.
        temperature: in °C.
        pressure: in Pa.
        humidity: in %; NaN where it is not measured.
    """
    environment, now = Environment(seed), time.time()
    moments = (began + STEP * number for number in range(int((now - began) / STEP) + 2))
    return any(
        abs(sensed.temperature - temperature) < 0.05
        and abs(sensed.pressure - pressure) < 5
        and (math.isnan(humidity) or abs(sensed.humidity - humidity) < 0.2)
        for sensed in map(environment.at, moments)
    )
