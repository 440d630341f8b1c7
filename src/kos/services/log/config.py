"""The log server's settings, checked. Pure."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping

from kos.abi.errors import KosError
from kos.services.log.record import LEVELS

RING_MAX = 64 << 20  # bytes
RATE_MAX = 100_000  # lines per second, and of one burst


class LogConfig(
    namedtuple("_LogConfig", "level rate burst ring", defaults=(min(LEVELS), 100.0, 200, 256 << 10))
):
    """`level`: the least kept; `rate`, `burst`: lines per second and at once, of each app; `ring`: bytes."""

    __slots__ = ()


def parse(config: Mapping[str, object]) -> LogConfig:
    """Settings from the manifest's `config` of the log server.

    Raises:
        KosError: an unknown setting, or a value out of its range.
    """
    unknown = set(config) - {"level", "rate", "burst", "ring"}
    if unknown:
        raise KosError(f"unknown setting of the log server: {', '.join(sorted(unknown))}")
    level = config.get("level", "debug")
    by_name = {name: number for number, name in LEVELS.items()}
    if level not in by_name:
        raise KosError(f"log level {level!r} is none of {', '.join(by_name)}")
    rate, burst, ring = (
        _number(config, name, default, maximum)
        for name, default, maximum in (
            ("rate", LogConfig().rate, RATE_MAX),
            ("burst", LogConfig().burst, RATE_MAX),
            ("ring", LogConfig().ring, RING_MAX),
        )
    )
    return LogConfig(by_name[level], float(rate), int(burst), int(ring))


def _number(config: Mapping[str, object], name: str, default: float, maximum: int) -> float:
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= maximum:
        raise KosError(f"log setting {name} is {value!r}, expected a number from 1 to {maximum}")
    return value
