"""A guest's initrd from a directory: its files, its compiled programs, what it stands on, its drivers.

`NAME.c` at the top is compiled to the static program `NAME`. `rootfs.tar.gz` at the top, such as Alpine's
mini root file system, is unpacked below the other files. An `init` that begins with `#!/bin/busybox` gets
Debian's static busybox where none of these brought one. Drivers are `modules/NNN-NAME.ko`, to be loaded in
that order.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from kos.build import tree
from kos.build.errors import BuildError
from kos.build.image import cpio, modules, programs
from kos.build.sdk import install
from kos.build.sdk.install import Wanted
from kos.build.sdk.sets import DEBIAN_ARCH

INITRD_BYTES_MAX = 512 << 20
ENTRIES_MAX = 65536  # of a root file system
ROOTFS = "rootfs.tar.gz"
BUSYBOX = "bin/busybox"
_PACKED_BUSYBOX = "usr/bin/busybox"  # in Debian's package
_SHEBANG = f"#!/{BUSYBOX}".encode()
_FOLDERS = ("dev", "proc", "sys", "tmp", "modules", "mnt", "bin")


class Initrd:
    """The directory of one guest, and what it is made for."""

    def __init__(self, directory: Path, arch: str, kernel: modules.Kernel | None) -> None:
        """`kernel`: whose drivers it gets; None for a kernel of the user's own."""
        self._directory = directory
        self._arch = arch
        self._kernel = kernel

    def inputs(self) -> dict[str, str]:
        """Everything that the archive depends on beside its architecture and the kernel."""
        busybox = self._busybox()
        found = {"initrd": tree.digest(self._directory)}
        return {**found, "busybox": hashlib.sha256(busybox.read_bytes()).hexdigest()} if busybox else found

    def pack(self, drivers: Sequence[str]) -> bytes:
        """The archive.

        Raises:
            BuildError: it has no init, or too much of anything.
        """
        entries = self._rootfs()
        for name, path in tree.walk(self._directory, skip=(ROOTFS,)):
            if "/" not in name and name.endswith(".c"):
                program = programs.compiled(path, self._arch)
                entries[name[:-2]] = cpio.file(name[:-2], program.read_bytes(), 0o755)
            else:
                mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                entries[name] = cpio.file(name, path.read_bytes(), mode)
        if "init" not in entries:
            raise BuildError("an initrd needs init or init.c", where=str(self._directory))
        if busybox := self._busybox(entries):
            entries[BUSYBOX] = cpio.file(BUSYBOX, busybox.read_bytes(), 0o755)
        for number, path in enumerate(self._kernel.closure(list(drivers)) if self._kernel else []):
            name = f"modules/{number:03d}-{modules.module_name(path)}.ko"
            entries[name] = cpio.file(name, modules.read(path))
        if sum(len(entry.data) for entry in entries.values()) > INITRD_BYTES_MAX:
            raise BuildError(f"more than {INITRD_BYTES_MAX} bytes are too many", where=str(self._directory))
        folders = {*_FOLDERS} | {str(up) for name in entries for up in PurePosixPath(name).parents}
        listed = {name: cpio.directory(name) for name in folders - {"."}} | entries
        listed["dev/console"] = cpio.character_device("dev/console", cpio.CONSOLE)
        return cpio.archive([entry for _name, entry in sorted(listed.items())])

    def _busybox(self, entries: dict[str, cpio.Entry] | None = None) -> Path | None:
        """Debian's, where the init asks for one and nothing else brings it."""
        init = self._directory / "init"
        if not init.is_file():
            return None
        with init.open("rb") as file:
            if file.read(len(_SHEBANG)) != _SHEBANG:
                return None
        brought = entries if entries is not None else self._rootfs()
        if BUSYBOX in brought or (self._directory / BUSYBOX).exists():
            return None
        return install.current().folder(Wanted("busybox", DEBIAN_ARCH[self._arch])) / _PACKED_BUSYBOX

    def _rootfs(self) -> dict[str, cpio.Entry]:
        """What the root file system holds, by name; empty without one."""
        path = self._directory / ROOTFS
        if not path.exists():
            return {}
        try:
            with tarfile.open(path, mode="r:gz") as archive:
                return _entries(archive)
        except (tarfile.TarError, EOFError, OSError, UnicodeError) as error:
            raise BuildError(f"not a tar packed with gzip: {error}", where=str(path)) from None
        except BuildError as error:
            raise BuildError(error.message, where=str(path), hint=error.hint) from None


def _entries(archive: tarfile.TarFile) -> dict[str, cpio.Entry]:
    found: dict[str, cpio.Entry] = {}
    room = INITRD_BYTES_MAX
    for info in archive:
        name = info.name.removeprefix("./").rstrip("/")
        if name in ("", "."):
            continue
        tree.check_name(name)
        if len(found) >= ENTRIES_MAX:
            raise BuildError(f"more than {ENTRIES_MAX} entries are too many")
        if info.isdir():
            found[name] = cpio.directory(name)
        elif info.issym():
            found[name] = cpio.link(name, info.linkname)
        elif info.isreg() or info.islnk():
            room -= info.size
            if room < 0:
                raise BuildError(f"more than {INITRD_BYTES_MAX} bytes are too many")
            content = archive.extractfile(info)  # of a hard link, what it leads to
            if content is None:
                raise BuildError(f"{name!r} leads to nothing")
            found[name] = cpio.file(name, content.read(INITRD_BYTES_MAX), info.mode & 0o777)
        else:
            raise BuildError(f"{name!r} is no file, directory or link", hint="a guest makes its own devices")
    return found
