"""What a sandbox is made of: interpreter, libraries, our packages, bwrap, kos-launch.

The device image and the host platform differ only in the `Runtime` that they pass on. The host platform's
comes from `kos.device.staging`. This module starts nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kos.abi.records import dataclass

# What each kind of process can import, as folders of the package `kos`.
PACKAGES = {
    "app": ("abi", "app"),
    "service": ("abi", "app", "network", "services"),
    "msgserver": ("abi", "app", "device/msgserver"),
}
LAUNCH_NAME = "kos-launch"


@dataclass(frozen=True)
class Bind:
    """A host path that a sandbox sees at `target`."""

    source: Path
    target: str


@dataclass(frozen=True)
class Runtime:
    """What a sandbox is made of; paths are those of the machine that runs it."""

    bwrap: Path
    packages: Path  # holds one folder for each key of PACKAGES, as `stage` makes it
    arch: str
    interpreter: str  # the same path inside and outside
    libraries: tuple[Bind, ...]  # shared libraries and the loader: every app
    links: tuple[tuple[str, str], ...]  # (target, link) of a merged /usr
    python: tuple[Bind, ...]  # interpreter and standard library: Python apps
    hidden: tuple[str, ...]  # folders of the standard library that no app may see


def image_runtime(packages: Path) -> Runtime:
    """The runtime of a device's image, whose builder chose the places; our packages are at `packages`."""
    library = Path("/usr/lib")
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shared = (*library.glob("*-linux-gnu*"), *library.glob("ld-linux*.so.*"))
    return Runtime(
        bwrap=Path("/usr/bin/bwrap"),
        packages=packages,
        arch=machine(),
        interpreter=f"/usr/bin/{python}",
        libraries=tuple(Bind(path, str(path)) for path in sorted(shared)),
        links=(("usr/lib", "/lib"),),
        python=tuple(Bind(Path(path), path) for path in (f"/usr/bin/{python}", f"/usr/lib/{python}")),
        hidden=(),
    )


def machine() -> str:
    """This machine's architecture, as `kos.device.seccomp` names it."""
    name = os.uname().machine
    return "arm" if name.startswith("arm") else name
