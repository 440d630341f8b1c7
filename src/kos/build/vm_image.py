"""The image of a guest: `kernel`, `initrd` and `disks/NAME`, and nothing else.

An initrd that is a directory is packed by `kos.build.initrd`; with the platform's own kernel it gets the
drivers of a microVM's devices.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from kos.build.errors import BuildError
from kos.build.image import modules
from kos.build.initrd import Initrd
from kos.build.sdk import install
from kos.build.sdk.install import Wanted
from kos.build.sdk.sets import DEBIAN_ARCH
from kos.manifest import PlatformSpec, VmImage
from kos.platforms import board

# The devices of a microVM; what the kernel has built in is left out.
DRIVERS = ["virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "ext4"]


class Guest:
    """The sources of one guest."""

    def __init__(self, root: Path, image: VmImage, platform: PlatformSpec, where: str = "") -> None:
        """
        Args:
            root: the project.
            image: paths in it.
            platform: whose kernel is taken where the image names none, and for which programs are compiled.
            where: `file:line` of the manifest, for errors.

        Raises:
            BuildError: something that the image names is not there.
        """
        self._where = where or None
        self._arch = platform.arch or ""
        self._initrd = self._there(root, image.initrd)
        self._disks = [self._there(root, disk) for disk in image.disks]
        self._modules: modules.Kernel | None = None
        if image.kernel is None:
            facts = board(platform)
            wanted = Wanted(facts.kernel_set, DEBIAN_ARCH[facts.arch])
            self._modules = modules.Kernel(install.current().folder(wanted))
            self._kernel = self._modules.image
        else:
            self._kernel = self._there(root, image.kernel)

    def inputs(self) -> dict[str, str]:
        """Everything that the image depends on."""
        folder = self._folder()
        return {
            "arch": self._arch,
            **(folder.inputs() if folder else {"initrd": _digest(self._initrd)}),
            "kernel": _digest(self._kernel),
            "disks": " ".join(f"{disk.name}:{_digest(disk)}" for disk in self._disks),
            "drivers": " ".join(DRIVERS) if self._modules else "",
        }

    def fill(self, place: Path) -> None:
        """Write the image's files into an empty directory."""
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._kernel, place / "kernel")
        if folder := self._folder():
            (place / "initrd").write_bytes(folder.pack(DRIVERS))
        else:
            shutil.copyfile(self._initrd, place / "initrd")
        if self._disks:
            (place / "disks").mkdir()
        for disk in self._disks:
            shutil.copyfile(disk, place / "disks" / disk.name)

    def _folder(self) -> Initrd | None:
        if not self._initrd.is_dir():
            return None
        return Initrd(self._initrd, self._arch, self._modules)

    def _there(self, root: Path, path: str) -> Path:
        found = root / path
        if not found.exists():
            raise BuildError(
                f"there is no {path!r}", where=self._where, hint=f"it is looked for below {root}"
            )
        return found.resolve()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
