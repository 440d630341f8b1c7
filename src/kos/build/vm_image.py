"""The image of a guest: `kernel`, `initrd` and `disks/NAME`, and nothing else.

An initrd that is a directory is packed here: its files as they are, each `NAME.c` at its top compiled to the
static program `NAME`, and, with the platform's own kernel, the drivers of a microVM's devices as
`modules/NNN-NAME.ko`, to be loaded in that order.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from kos.build import tree
from kos.build.errors import BuildError
from kos.build.image import cpio, modules, programs
from kos.build.sdk import install
from kos.build.sdk.install import Wanted
from kos.build.sdk.sets import DEBIAN_ARCH
from kos.manifest import PlatformSpec, VmImage
from kos.platforms import board

# The devices of a microVM; what the kernel has built in is left out.
DRIVERS = ["virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "ext4"]
INITRD_BYTES_MAX = 512 << 20
_FOLDERS = ("dev", "proc", "sys", "tmp", "modules", "mnt")


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
        initrd = tree.digest(self._initrd) if self._initrd.is_dir() else _digest(self._initrd)
        return {
            "arch": self._arch,
            "initrd": initrd,
            "kernel": _digest(self._kernel),
            "disks": " ".join(f"{disk.name}:{_digest(disk)}" for disk in self._disks),
            "drivers": " ".join(DRIVERS) if self._modules else "",
        }

    def fill(self, place: Path) -> None:
        """Write the image's files into an empty directory."""
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._kernel, place / "kernel")
        if self._initrd.is_dir():
            (place / "initrd").write_bytes(self._pack())
        else:
            shutil.copyfile(self._initrd, place / "initrd")
        if self._disks:
            (place / "disks").mkdir()
        for disk in self._disks:
            shutil.copyfile(disk, place / "disks" / disk.name)

    def _there(self, root: Path, path: str) -> Path:
        found = root / path
        if not found.exists():
            raise BuildError(
                f"there is no {path!r}", where=self._where, hint=f"it is looked for below {root}"
            )
        return found.resolve()

    def _pack(self) -> bytes:
        files: dict[str, tuple[bytes, int]] = {}
        for name, path in tree.walk(self._initrd):
            if "/" not in name and name.endswith(".c"):
                program = programs.compiled(path, self._arch)
                files[name.removesuffix(".c")] = (program.read_bytes(), 0o755)
            else:
                files[name] = (path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)
        if "init" not in files:
            raise BuildError("an initrd needs init or init.c", where=str(self._initrd))
        for number, path in enumerate(self._modules.closure(DRIVERS) if self._modules else []):
            name = f"modules/{number:03d}-{modules.module_name(path)}.ko"
            files[name] = (modules.read(path), 0o644)
        if sum(len(data) for data, _mode in files.values()) > INITRD_BYTES_MAX:
            raise BuildError(f"more than {INITRD_BYTES_MAX} bytes are too many", where=str(self._initrd))
        folders = {*_FOLDERS} | {str(up) for name in files for up in Path(name).parents if str(up) != "."}
        entries = [cpio.directory(name) for name in sorted(folders)]
        entries.append(cpio.character_device("dev/console", cpio.CONSOLE))
        entries += [cpio.file(name, data, mode) for name, (data, mode) in sorted(files.items())]
        return cpio.archive(entries)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
