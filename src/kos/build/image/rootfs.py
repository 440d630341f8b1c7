"""The root file system of a device: Debian's Python and a few programs, our runtime, the kernel's modules.

No shell, no package manager, nothing that was not asked for: programs come from an allow list, the rest of a
package by its folders. Machines differ only in their kernel and modules.
"""

from __future__ import annotations

import os
import shutil
from itertools import combinations
from pathlib import Path

import pyseccomp
import rfc8785

import kos
from kos.abi.errors import KosError
from kos.abi.version import VERSION
from kos.build import native
from kos.build.image import bytecode, modules, programs
from kos.build.image.run import EPOCH, run
from kos.build.sdk.sets import PYTHON
from kos.device import runtime
from kos.device.seccomp.compiler import ARCHITECTURES, cached_program
from kos.device.seccomp.policy import DEBUGGER, KINDS, RESOURCES_WITH_CALLS, policy_for


def _words(text: str) -> list[str]:
    return text.split()


PROGRAMS = ("bin/bwrap", "bin/kmod", "bin/wg", f"bin/python{PYTHON}", "sbin/e2fsck")
LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "usr/sbin/modprobe": "../bin/kmod",
    "usr/bin/python3": f"python{PYTHON}",
    "etc/mtab": "../proc/self/mounts",
}
MOUNT_POINTS = ("data", "dev", "keys", "proc", "run", "sys", "tmp")
LIBRARY_DROP = _words(
    """
    audit engines-3 gconv libBrokenLocale* libc_malloc_debug* libdb-* libmemusage* libnsl*
    libnss_compat* libnss_hesiod* libpcprofile* libthread_db* libmvec* libformw*
    libmenuw* libpanelw* libtic* libcurses* libncursesw* libtinfo*
    """
)
STDLIB_DROP = _words(
    """
    EXTERNALLY-MANAGED LICENSE.txt __phello__ _pyrepl antigravity.py config-* curses dbm
    ensurepip idlelib lib2to3 pydoc.py pydoc_data test this.py tkinter turtle.py turtledemo
    unittest venv wsgiref xmlrpc lib-dynload/_test* lib-dynload/_xx* lib-dynload/xx*
    lib-dynload/_dbm* lib-dynload/_gdbm* lib-dynload/_curses* lib-dynload/readline*
    """
)
DIST_PACKAGES = ("_cffi_backend*.so", "cryptography", "pyroute2", "pr2modules")
RUNTIME = "usr/lib/kos"
# What process 1 and the supervisor import; apps see only `runtime.PACKAGES`.
PROCESS_1 = ("abi", "device", "manifest", "keys", "network", "services")
_INIT = """\
#!/usr/bin/python3 -ISB
import sys

sys.path[:0] = ["/usr/lib/kos/python"]
sys.path.append("/usr/lib/python3/dist-packages")
from kos.device.init.start import main

main()
"""


def build(
    tree: Path, base: Path, host_python: Path, kernel: modules.Kernel, wanted: list[str], arch: str
) -> None:
    """Make the tree of the root file system in the empty folder `tree`."""
    for name in MOUNT_POINTS:
        (tree / name).mkdir(parents=True)
    _programs(tree, base)
    _libraries(tree, base)
    _python(tree, base)
    _runtime(tree, arch)
    _modules(tree, kernel, wanted)
    _etc(tree)
    bytecode.compile_tree(host_python, tree, ["usr/lib/python3", f"usr/lib/python{PYTHON}", RUNTIME])
    for path in tree.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def squash(tree: Path, image: Path) -> None:
    """Pack the tree; owned by root, one time, the same bytes each time."""
    image.unlink(missing_ok=True)
    options = ["-noappend", "-quiet", "-no-progress", "-no-xattrs", "-all-root", "-no-exports"]
    compression = ["-comp", "zstd", "-Xcompression-level", "19", "-b", "256K"]
    # SOURCE_DATE_EPOCH sets the times; mksquashfs refuses it together with its own options for that.
    run("mksquashfs", tree, image, *options, *compression, environ={"SOURCE_DATE_EPOCH": str(EPOCH)})


def _programs(tree: Path, base: Path) -> None:
    for name in PROGRAMS:
        target = tree / "usr" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(base / "usr" / name, target)
    (tree / "etc").mkdir()
    for link, target in LINKS.items():
        (tree / link).symlink_to(target)


def _libraries(tree: Path, base: Path) -> None:
    for folder in sorted((base / "usr/lib").glob("*-linux-gnu*")):
        drop = shutil.ignore_patterns(*LIBRARY_DROP)
        shutil.copytree(folder, tree / "usr/lib" / folder.name, symlinks=True, ignore=drop)
    for loader in sorted((base / "usr/lib").glob("ld-linux*.so.*")):
        shutil.copy(loader, tree / "usr/lib" / loader.name, follow_symlinks=False)


def _python(tree: Path, base: Path) -> None:
    standard = tree / f"usr/lib/python{PYTHON}"
    shutil.copytree(base / f"usr/lib/python{PYTHON}", standard, symlinks=True)
    _remove(standard, STDLIB_DROP)
    # Debian's pointers to /etc are for machines with a package manager.
    for link in [path for path in standard.rglob("*") if path.is_symlink() and path.readlink().is_absolute()]:
        link.unlink()
    packages = base / "usr/lib/python3/dist-packages"
    target = tree / "usr/lib/python3/dist-packages"
    target.mkdir(parents=True)
    for path in (path for pattern in DIST_PACKAGES for path in sorted(packages.glob(pattern))):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, target / path.name)


def _remove(folder: Path, patterns: list[str]) -> None:
    for path in (path for pattern in patterns for path in list(folder.glob(pattern))):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _runtime(tree: Path, arch: str) -> None:
    """Our packages: for process 1 in one place, for each kind of sandbox as the supervisor wants them
    staged.
    """
    source = Path(kos.__file__).parent
    home = tree / RUNTIME
    launch = programs.program("launch/kos_launch.c", arch)
    copy_packages(source, home / "python", PROCESS_1)
    extension = native.sdk(arch) / "python" / native.EXTENSION.name
    for kind, folders in runtime.PACKAGES.items():
        copy_packages(source, home / "packages" / kind, folders)
        shutil.copy(launch, home / "packages" / kind / runtime.LAUNCH_NAME)
        if "app" in folders:
            shutil.copy(extension, home / "packages" / kind / "kos/app" / extension.name)
    # Services are ours: they may use Debian's packages beside the standard library.
    packages = tree / "usr/lib/python3/dist-packages"
    shutil.copytree(packages, home / "packages/service", dirs_exist_ok=True)
    _seccomp(home, arch)
    # Pure Python; the supervisor tells its manifest by the digest of its canonical JSON.
    canonical = Path(rfc8785.__file__).parent
    shutil.copytree(canonical, home / "python/rfc8785", ignore=shutil.ignore_patterns("__pycache__"))
    (home / "init").write_text(_INIT)
    (home / "init").chmod(0o755)


def _seccomp(home: Path, arch: str) -> None:
    """Every filter that a manifest can ask for, compiled, and what names a violating call."""
    machine = {"aarch32": "arm"}.get(arch, arch)
    assert machine in ARCHITECTURES
    for count in range(len(RESOURCES_WITH_CALLS) + 1):
        for resources in combinations(RESOURCES_WITH_CALLS, count):
            for kind in KINDS:
                cached_program(policy_for(kind, resources), machine, home / "packages/filters")
    cached_program(policy_for(DEBUGGER), machine, home / "packages/filters")
    for path in (home / "packages/filters").iterdir():
        path.chmod(0o644)
    # ctypes finds libraries by running a compiler or ldconfig, which a device has not.
    text = Path(pyseccomp.__file__).read_text()
    for name, library in (("c", "libc.so.6"), ("seccomp", "libseccomp.so.2")):
        text = text.replace(f'ctypes.util.find_library("{name}")', f'"{library}"')
    (home / "python/pyseccomp.py").write_text(text)


def copy_packages(source: Path, target: Path, folders: tuple[str, ...]) -> None:
    """Copy parts of the package `kos` as an importable package of their own."""
    names = {Path("__init__.py")}
    for folder in map(Path, folders):
        names |= {parent / "__init__.py" for parent in folder.parents if parent != Path(".")}
        files = (path for path in (source / folder).rglob("*") if path.is_file())
        names |= {path.relative_to(source) for path in files if path.suffix in (".py", ".json", ".typed")}
    for name in sorted(names):
        if (source / name).exists():
            (target / "kos" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / "kos" / name)


def _modules(tree: Path, kernel: modules.Kernel, wanted: list[str]) -> None:
    """The modules that the kernel loads on demand, with the indexes that modprobe reads."""
    home = tree / "usr/lib/modules" / kernel.release
    for path in kernel.closure(wanted):
        target = home / path.relative_to(kernel.modules)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(path.name.removesuffix(".xz")).write_bytes(modules.read(path))
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        if (kernel.modules / name).exists():
            shutil.copy(kernel.modules / name, home / name)
    run("depmod", "-b", tree, kernel.release)
    if not (home / "modules.dep.bin").exists():
        raise KosError("depmod wrote no index", where=str(home))
    for name in ("modules.builtin.modinfo", "modules.order", "modules.symbols", "modules.symbols.bin"):
        (home / name).unlink(missing_ok=True)


def _etc(tree: Path) -> None:
    etc = tree / "etc"
    etc.joinpath("os-release").write_text(
        f'NAME="KOS"\nID=kos\nVERSION_ID={VERSION}\nPRETTY_NAME="KOS {VERSION}"\n'
    )
    etc.joinpath("passwd").write_text("root:x:0:0:root:/:/nonexistent\n")
    etc.joinpath("group").write_text("root:x:0:\n")
    etc.joinpath("nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    os.utime(etc / "passwd", (EPOCH, EPOCH))
