"""Releases of the tests: small systems, written by the builder's own writer."""

from __future__ import annotations

from pathlib import Path

from kos.build import manifest_zip, overlay_zip
from kos.manifest import System
from kos.systems import Poukai


def archive(folder: Path, release: str = "1.0", name: str = "pump_station", platform: str = "host") -> Path:
    """A manifest.zip of Poukai alone; another release is another manifest."""

    class Small(System):
        base = Poukai

    Small.name = name
    Small.release = release
    path = folder / f"{name}-{release}-{platform.partition(',')[0]}.zip"
    manifest_zip.write(path, Small().manifest(platform), {})
    return path


def overlay_archive(folder: Path) -> Path:
    """An overlay.zip that changes a setting and brings no app."""
    path = folder / "overlay.zip"
    overlay_zip.write(path, {"settings": {"heartbeat": 5}}, {})
    return path
