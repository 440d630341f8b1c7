"""What a device image is filled with: the system that was asked for, a device's keys, the platform's own
parts.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from kos.build.image import data, system
from kos.build.image.device import DATA_SIZE, Contents
from kos.build.manifest_zip import ManifestZip
from kos.build.sdk.install import Sdk
from kos.device.upgrade.engine import TRUST_FILE
from kos.device.upgrade.slots import PARTS
from kos.platforms.board import Board
from kos.tool.request import RunRequest, install_keys


def contents(
    request: RunRequest, board: Board, sdk: Sdk, folder: Path, *, make_keys: bool = True
) -> Contents:
    """Prepare everything in the new folder `folder`; without `make_keys` only keys that were given go in."""
    tree = folder / "data"
    tree.mkdir(parents=True)
    # First what costs nothing to refuse.
    keys = folder / "keys" if request.keys or make_keys else None
    if keys:
        install_keys(keys, request.keys)
    manifest = request.install(tree)
    document = (tree / "manifest.json").read_bytes()
    (tree / "manifest.json").unlink()
    signatures = {}
    parts = None
    if request.is_archive:
        with ManifestZip(request.source) as archive:
            signatures = {name: text.decode() for name, text in archive.signatures.items()}
            parts = _own_parts(archive, folder)
    parts = parts or system.build(board, sdk, manifest.options)
    data.fill(tree, manifest, document, signatures, parts)
    return Contents(parts, tree, keys, manifest.options.data_size or DATA_SIZE)


def _own_parts(archive: ManifestZip, folder: Path) -> system.System | None:
    """Kernel and root where the archive brings them: those were signed, so those are what is flashed."""
    named = archive.manifest.parts
    if set(named) != set(PARTS):
        return None
    for name, part in named.items():
        with (folder / name).open("wb") as file:
            archive.copy_blob(part.sha256, file)
    return system.System(folder / "bootfs", folder / "root")


def trusting(filled: Contents, trust: Path, folder: Path) -> Contents:
    """The same with a trust document beside the keys."""
    keys = filled.keys or folder / "keys"
    keys.mkdir(exist_ok=True)
    shutil.copy(trust, keys / TRUST_FILE)
    return replace(filled, keys=keys)
