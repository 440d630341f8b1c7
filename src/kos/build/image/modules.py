"""Which kernel modules an image needs: the ones asked for and, from their own data, the ones they need.

Module files say what they depend on in their `.modinfo` section (`depends=a,b`), so no program of the target
is run.
"""

from __future__ import annotations

import lzma
import re
from pathlib import Path

from kos.abi.errors import KosError

_DEPENDS = re.compile(rb"(?:^|\0)depends=([^\0]*)\0")
_SOFT = re.compile(rb"(?:^|\0)softdep=([^\0]*)\0")
_SUFFIXES = (".ko.xz", ".ko")


def module_name(path: Path) -> str:
    """The name as the kernel says it: dashes are underscores."""
    return path.name.split(".ko")[0].replace("-", "_")


def read(path: Path) -> bytes:
    """The module itself, unpacked: squashfs packs better, and the kernel's loader needs no help then."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


class Kernel:
    """The kernel package unpacked at `root`: image, modules, device trees."""

    def __init__(self, root: Path) -> None:
        images = sorted((root / "boot").glob("vmlinuz-*"))
        if len(images) != 1:
            raise KosError(f"expected one kernel, found {len(images)}", where=str(root / "boot"))
        self.image = images[0]
        self.release = self.image.name.removeprefix("vmlinuz-")
        self.modules = root / "usr/lib/modules" / self.release
        self.device_trees = root / "usr/lib" / f"linux-image-{self.release}"
        self._files = {
            module_name(path): path for path in self.modules.rglob("*") if path.name.endswith(_SUFFIXES)
        }
        built_in = (self.modules / "modules.builtin").read_text().split()
        self._built_in = {module_name(Path(line)) for line in built_in}

    def closure(self, wanted: list[str]) -> list[Path]:
        """Files of `wanted` and all that they need, each after what it depends on.

        What the kernel has built in is left out.

        Raises:
            KosError: the kernel has no such module.
        """
        ordered: dict[str, Path] = {}
        for name in sorted(wanted):
            self._visit(name.replace("-", "_"), ordered)
        return list(ordered.values())

    def _visit(self, name: str, ordered: dict[str, Path]) -> None:
        if name in ordered or name in self._built_in:
            return
        path = self._files.get(name)
        if path is None:
            raise KosError(f"kernel {self.release} has no module {name!r}")
        data = read(path)
        match = _DEPENDS.search(data)
        for needed in sorted(filter(None, match[1].decode().split(",") if match else [])):
            self._visit(needed.replace("-", "_"), ordered)
        ordered[name] = path
        # What it likes to have beside it; a name there may be an alias, which the names below it cover.
        for soft in _SOFT.findall(data):
            for word in soft.decode().split():
                if word.replace("-", "_") in self._files:
                    self._visit(word.replace("-", "_"), ordered)
