"""NXP LM75B: a thermometer with four registers behind a pointer. Source: data sheet LM75B rev. 6.1.

Left out: the OS pin and the fault queue; the configuration keeps its value.
"""

from __future__ import annotations

from collections.abc import Callable

from kos.services.i2c.environment import Environment
from kos.services.i2c.simulated import register

TEMP, CONF, THYST, TOS = range(4)


class Lm75:
    """The register model: 7.4, table 5."""

    def __init__(self, environment: Environment, clock: Callable[[], float]) -> None:
        self._environment = environment
        self._clock = clock
        self._pointer = TEMP
        # Power-on: thresholds of 75 °C and 80 °C.
        self._registers = {CONF: b"\x00", THYST: b"\x4b\x00", TOS: b"\x50\x00"}

    def write(self, data: bytes) -> bool:
        if data:
            self._pointer = data[0] & 0x03
            kept = self._registers.get(self._pointer)
            if kept is not None and len(data) > len(kept):
                self._registers[self._pointer] = data[1 : 1 + len(kept)]
        return True

    def read(self, size: int) -> bytes:
        """7.10: the register, most significant byte first, over and over: the pointer does not move."""
        register_value = self._registers.get(self._pointer) or self._temperature()
        return (register_value * (size // len(register_value) + 1))[:size]

    def _temperature(self) -> bytes:
        # 7.4.3: 11 bits in steps of 0.125 °C, left-aligned in two bytes
        steps = round(self._environment.at(self._clock()).temperature / 0.125)
        return ((steps << 5) & 0xFFFF).to_bytes(2, "big")


register("lm75", Lm75)
