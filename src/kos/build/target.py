"""What can be built for: the processors, their C target and the wheels that fit their Python.

Facts only; the compiler is in `toolchain`, the wheels are chosen in `wheels`.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from kos.build.errors import BuildError

DEVICE_PYTHON = "3.13"  # Debian 13, which is what a device runs


@dataclass(frozen=True)
class Target:
    """A processor with its operating system.

    Attributes:
        name: `host`, `aarch64` or `aarch32`.
        triple: zig's name for it, with the oldest glibc that the programs must run on.
        cmake_processor: CMAKE_SYSTEM_PROCESSOR.
        python: version of the Python there, such as `3.13`.
        wheel_platforms: platform tags of the wheels that run there, best first.
    """

    name: str
    triple: str
    cmake_processor: str
    python: str
    wheel_platforms: tuple[str, ...]


def _manylinux(machine: str, *minors: int) -> tuple[str, ...]:
    return tuple(f"manylinux_2_{minor}_{machine}" for minor in minors) + (
        (f"manylinux2014_{machine}",) if 17 in minors else ()
    )


# 2.36 is Debian 12's glibc, 2.41 Debian 13's; wheels name the oldest that they need.
_GLIBC = (36, 35, 34, 31, 28, 24, 17)
_HOST_TRIPLES = {"x86_64": "x86_64-linux-gnu.2.31", "aarch64": "aarch64-linux-gnu.2.31"}
_DEVICES = {
    "aarch64": Target(
        "aarch64", "aarch64-linux-gnu.2.36", "aarch64", DEVICE_PYTHON, _manylinux("aarch64", 41, 39, *_GLIBC)
    ),
    "aarch32": Target(
        "aarch32", "arm-linux-gnueabihf.2.36", "armv7l", DEVICE_PYTHON, _manylinux("armv7l", 41, 39, *_GLIBC)
    ),
}


HOST_PYTHONS = ("3.11", "3.12", "3.13")  # that developers' machines have


def host() -> Target:
    """The machine that this runs on."""
    return _host(platform.machine(), f"{sys.version_info.major}.{sys.version_info.minor}")


def _host(machine: str, python: str) -> Target:
    if machine not in _HOST_TRIPLES:
        raise BuildError(
            f"KOS does not build on a {machine} machine",
            hint=f"it does on: {', '.join(sorted(_HOST_TRIPLES))}",
        )
    return Target("host", _HOST_TRIPLES[machine], machine, python, _manylinux(machine, *_GLIBC))


def every_target() -> list[Target]:
    """All machines that an app may be built for: developers' of each kind, and devices."""
    hosts = [_host(machine, python) for machine in sorted(_HOST_TRIPLES) for python in HOST_PYTHONS]
    unique = {(target.cmake_processor, target.python): target for target in [*hosts, *_DEVICES.values()]}
    return list(unique.values())


def target(architecture: str | None) -> Target:
    """The target of an architecture as platform specs name it; None is the machine that this runs on."""
    if architecture is None:
        return host()
    try:
        return _DEVICES[architecture]
    except KeyError:
        raise BuildError(
            f"there is no toolchain for architecture {architecture!r}", hint=f"known: {', '.join(_DEVICES)}"
        ) from None
