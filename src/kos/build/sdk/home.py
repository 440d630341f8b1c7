"""Where SDK versions live under `$KOS_HOME` (default `~/.kos`). Paths only; nothing here downloads or builds.

sdk/<version>/sdk.lock.json      every package of every set, with its hash
sdk/<version>/sbom.cdx.json      the same as a CycloneDX bill of materials
sdk/<version>/<set>-<arch>/      the unpacked packages of one set
sdk/default                      a link to the version that is used
cache/apt/<arch>/                apt's private state; shared by all versions
cache/image/                     parts of images, by the hash of what they were made from
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from kos.abi.errors import KosError

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+([.-][0-9A-Za-z.-]{1,32})?")


def kos_home() -> Path:
    """`$KOS_HOME`, else `~/.kos`. It may not exist yet."""
    return Path(os.environ.get("KOS_HOME") or Path.home() / ".kos").expanduser().absolute()


def check_version(version: str) -> str:
    """`version`, when it has the form of an SDK version.

    Raises:
        KosError: it does not; it would also be a path.
    """
    if not _VERSION.fullmatch(version):
        raise KosError(
            f"an SDK version is MAJOR.MINOR.PATCH with an optional -LABEL, found {version!r}",
            hint="for example: kos-tool install 1.0.0",
        )
    return version


def sdk_path(version: str) -> Path:
    return kos_home() / "sdk" / check_version(version)


def default_link() -> Path:
    return kos_home() / "sdk" / "default"


def default_sdk() -> Path:
    """The SDK that tools use: `$KOS_SDK` (a version), else the default link.

    Raises:
        KosError: none is installed.
    """
    version = os.environ.get("KOS_SDK")
    path = sdk_path(version) if version else default_link()
    if not (path / "sdk.lock.json").exists():
        raise KosError("no SDK is installed", where=str(path), hint="run: kos-tool install")
    return path.resolve()


def installed() -> list[str]:
    """The versions that are installed, in order of their names."""
    root = kos_home() / "sdk"
    return sorted(
        path.name for path in root.glob("*") if not path.is_symlink() and (path / "sdk.lock.json").exists()
    )


def image_cache() -> Path:
    return kos_home() / "cache" / "image"


def apt_cache(arch: str) -> Path:
    return kos_home() / "cache" / "apt" / arch
