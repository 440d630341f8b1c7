"""The parts of a device's system for one board: root file system and bootfs, the two blobs that an update can
carry.

Both depend only on the board and the SDK and our runtime, not on a system's manifest, so they are made once
and kept by the hash of what they were made from.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import kos
from kos.build.image import (
    bootscript,
    cpio,
    debugger,
    disk,
    modules,
    monitor,
    network,
    programs,
    rootfs,
    zimage,
)
from kos.build.image.run import run
from kos.build.sdk import home
from kos.build.sdk.install import Sdk, Wanted, host_architecture
from kos.build.sdk.sets import DEBIAN_ARCH
from kos.manifest.options import Options
from kos.platforms.board import COMMON_MODULES, Board, BootLoader

# Until init says otherwise a kernel that panics reboots, so that the boot loader counts the attempt.
KERNEL_ARGUMENTS = "panic=3 quiet loglevel=4 ro"


@dataclass(frozen=True)
class System:
    """Files of a built system."""

    bootfs: Path
    root: Path

    def identities(self) -> dict[str, tuple[str, int]]:
        """SHA-256 and size of each part."""
        return {"bootfs": identity(self.bootfs), "root": identity(self.root)}

    def sizes(self) -> dict[str, int]:
        """Bytes that each part has to be delivered with."""
        return {"root": self.root.stat().st_size, "bootfs": self.bootfs.stat().st_size}


def identity(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def build(board: Board, sdk: Sdk, options: Options | None = None) -> System:
    """Build the system for a board, or take it from the cache. Of the options it takes two: words for the
    kernel's command line, and whether a debugger may attach.
    """
    options = options or Options()
    arguments = options.kernel_command_line or ""
    key = _key(board, sdk, f"{arguments} debugger={options.debugger}")
    folder = home.image_cache() / "system" / f"{board.name}-{board.arch}-{key}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as part:
            made = Path(part, "made")
            made.mkdir()
            _make(board, sdk, arguments, made, Path(part), with_debugger=options.debugger)
            try:
                made.replace(folder)
            except OSError:
                if not folder.is_dir():  # else another build was faster, and made the same
                    raise
    return System(folder / "bootfs.img", folder / "root.squashfs")


def _key(board: Board, sdk: Sdk, arguments: str) -> str:
    digest = hashlib.sha256(f"{board!r} {arguments}".encode())
    lock = sdk.lock()
    for name in (*board.sets, "python-host"):
        for folder, packages in lock.sets.items():
            if folder.startswith(f"{name}-"):
                digest.update("".join(package.sha256 for package in packages).encode())
    package = Path(kos.__file__).parent
    folders = {*rootfs.PROCESS_1, "app", "build/image"}
    files = [path for folder in folders for path in (package / folder).rglob("*.py")]
    files += [programs.SOURCES / "launch/kos_launch.c", programs.SOURCES / "initramfs/init.c"]
    for path in sorted(files):
        digest.update(f"{path.relative_to(package.parents[1])}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:24]


def _make(
    board: Board, sdk: Sdk, arguments: str, target: Path, scratch: Path, *, with_debugger: bool
) -> None:
    architecture = DEBIAN_ARCH[board.arch]
    kernel = modules.Kernel(sdk.folder(Wanted(board.kernel_set, architecture)))
    tree = scratch / "tree"
    rootfs.build(
        tree,
        base=sdk.folder(Wanted("base", architecture)),
        host_python=sdk.folder(Wanted("python-host", host_architecture())),
        kernel=kernel,
        wanted=[*COMMON_MODULES, *board.boot_modules, *board.modules],
        arch=board.arch,
    )
    network.add(tree, sdk.folder(Wanted("network", architecture)))
    if board.hyp:
        monitor.add(tree, sdk.folder(Wanted("microvm", architecture)))
    if with_debugger:
        debugger.add(tree, sdk.folder(Wanted("debugger", architecture)))
    rootfs.squash(tree, target / "root.squashfs")
    line = f"console={board.console} {KERNEL_ARGUMENTS} {board.kernel_arguments} {arguments}"
    bootfs(board, kernel, " ".join(line.split()), target / "bootfs.img")


def initramfs(board: Board, kernel: modules.Kernel, extra: list[cpio.Entry] | None = None) -> bytes:
    """Our init and the modules that reach the root, and `extra`."""
    entries = [
        cpio.directory("dev"),
        cpio.character_device("dev/console", cpio.CONSOLE),
        cpio.directory("modules"),
    ]
    wanted = ["squashfs", *(["loop"] if extra else board.boot_modules)]
    for number, path in enumerate(kernel.closure(wanted)):
        entries.append(cpio.file(f"modules/{number:03d}-{modules.module_name(path)}.ko", modules.read(path)))
    entries.append(cpio.file("init", programs.program("initramfs/init.c", board.arch).read_bytes(), 0o755))
    return cpio.archive([*entries, *(extra or [])])


def ram_initramfs(board: Board, kernel: modules.Kernel, root: Path, data: Path, keys: Path) -> bytes:
    """An initramfs that holds the whole device, for a start that writes nothing to storage. Packed with
    LZ4.
    """
    extra = [cpio.directory("ram")]
    extra += [
        cpio.file(f"ram/{name}", path.read_bytes())
        for name, path in (("root", root), ("data", data), ("keys", keys))
    ]
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder, "plain"), Path(folder, "packed")
        plain.write_bytes(initramfs(board, kernel, extra))
        # The kernel takes LZ4 in its legacy frame only (Linux, lib/decompress_unlz4.c).
        run("lz4", "-l", "-q", "-f", plain, packed)
        return packed.read_bytes()


def bootfs(board: Board, kernel: modules.Kernel, arguments: str, image: Path) -> None:
    """A slot's boot file system: kernel, initramfs, device tree and the script that starts them."""
    loader = board.loader
    device_tree = Path(board.device_tree).name
    files: dict[str, bytes | Path] = {
        "kernel": packed_kernel(kernel, loader, image.parent / "kernel"),
        "initramfs": initramfs(board, kernel),
        "slot.scr": bootscript.compiled(bootscript.slot_script(loader, arguments, device_tree)),
    }
    if device_tree:
        files[device_tree] = kernel.device_trees / board.device_tree
    needed = sum(
        len(content) if isinstance(content, bytes) else content.stat().st_size for content in files.values()
    )
    size = -(-(needed + (1 << 20)) // disk.ALIGN) * disk.ALIGN
    disk.fat(image, size, "KOSBOOT", files)
    (image.parent / "kernel").unlink(missing_ok=True)


def packed_kernel(kernel: modules.Kernel, loader: BootLoader, target: Path) -> Path:
    """The kernel as the boot loader's command unpacks it soonest: arm64's for `booti` with LZ4, arm's for
    `bootm` with gzip. Arm's for `bootz` is Debian's zImage, which unpacks itself.
    """
    if loader.start == "booti":
        run("lz4", "-9", "-f", "-q", "-BI", "--no-frame-crc", kernel.image, target)
        return target
    if loader.start == "bootm":
        unpacked = zimage.unpack(kernel.image.read_bytes(), str(kernel.image))
        return zimage.for_bootm(unpacked, loader.ram, target)
    return kernel.image
