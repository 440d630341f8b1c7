"""The runtime of the host platform: looks at the developer's machine and stages our own packages.

A device's image has all of this in its place already. This module starts nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import kos
from kos.abi.errors import KosError
from kos.device.runtime import LAUNCH_NAME, PACKAGES, Bind, Runtime, machine

# What services may import beside the standard library, as on the device; the key store signs with it.
SERVICE_MODULES = ("_cffi_backend", "cryptography")


def host_runtime(cache: Path, launch: Path) -> Runtime:
    """The runtime of the interpreter that runs this, with our packages staged below `cache`."""
    return _runtime_with(stage(Path(kos.__file__).parent, launch, cache))


def _runtime_with(packages: Path) -> Runtime:
    """The runtime of the interpreter that runs this, with our packages staged at `packages`."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise KosError(
            "bubblewrap (bwrap) is not installed",
            hint="apt-get install bubblewrap",
        )
    libraries, links = _libraries()
    interpreter, python, hidden = _python(libraries)
    return Runtime(
        bwrap=Path(bwrap),
        packages=packages,
        arch=machine(),
        interpreter=interpreter,
        libraries=libraries,
        links=links,
        python=python,
        hidden=hidden,
    )


def _libraries() -> tuple[tuple[Bind, ...], tuple[tuple[str, str], ...]]:
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    folders: list[Bind] = []
    links: list[tuple[str, str]] = []
    for top in ("/usr/lib", "/usr/lib64", "/lib", "/lib64"):
        path = Path(top)
        if path.is_symlink():
            links.append((str(path.readlink()), top))
        elif (path / multiarch).is_dir():
            folders.append(Bind(path / multiarch, f"{top}/{multiarch}"))
        elif top.endswith("64") and path.is_dir():
            folders.append(Bind(path, top))
    # Where /lib is a link, the loader of 32-bit Arm lies directly in /usr/lib.
    folders += [Bind(loader, str(loader)) for loader in Path("/usr/lib").glob("ld-linux*.so.*")]
    return tuple(folders), tuple(links)


def _python(libraries: tuple[Bind, ...]) -> tuple[str, tuple[Bind, ...], tuple[str, ...]]:
    base = getattr(sys, "_base_executable", None) or sys.executable
    interpreter = Path(base).resolve()
    standard = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    wanted = [interpreter, standard]
    shared = sysconfig.get_config_var("INSTSONAME")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and shared:
        wanted.append(Path(sysconfig.get_config_var("LIBDIR")) / shared)
    seen = [bind.source for bind in libraries]
    binds = tuple(
        Bind(path, str(path))
        for path in wanted
        if path.exists() and not any(path.is_relative_to(folder) for folder in seen)
    )
    hidden = tuple(
        str(standard / name) for name in ("site-packages", "dist-packages") if (standard / name).is_dir()
    )
    return str(interpreter), binds, hidden


def stage(source: Path, launch: Path, cache: Path) -> Path:
    """Copy our packages and kos-launch below `cache`, byte-compiled and readable by any uid; → the copy.

    A copy, because the source may be unreadable for an app's uid, and because a folder that is bound whole
    must hold nothing but what its kind of process may import. Copies are kept by the digest of their files'
    names, sizes and times.
    """
    if not launch.is_file():
        raise KosError(f"kos-launch is not there: {launch}", hint="build it: python -m kos.device.launcher")
    files = _files(source)
    digest = hashlib.sha256(sys.version.encode())
    modules = [_module(name) for name in SERVICE_MODULES]
    for path in (launch, *modules, *(source / name for names in files.values() for name in names)):
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    final = cache / "runtime" / digest.hexdigest()[:32]
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent) as unfinished:
        copy = Path(unfinished) / "packages"
        for kind, names in files.items():
            _copy(source, names, copy / kind / "kos")
            shutil.copyfile(launch, copy / kind / LAUNCH_NAME)
            (copy / kind / LAUNCH_NAME).chmod(0o755)
        for module in modules:
            (shutil.copytree if module.is_dir() else shutil.copyfile)(module, copy / "service" / module.name)
        import compileall  # slow to import, and needed for a new copy only
        import py_compile

        compileall.compile_dir(copy, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        _make_readable(copy)
        try:
            copy.rename(final)
        except OSError:
            if not final.is_dir():  # else another start made the same copy first
                raise
    return final


def _files(source: Path) -> dict[str, list[Path]]:
    """For each kind of process, its files relative to the package `kos`."""
    result = {}
    for kind, folders in PACKAGES.items():
        names = {Path("__init__.py")}
        for folder in map(Path, folders):
            names |= {parent / "__init__.py" for parent in folder.parents if parent != Path()}
            names |= {path.relative_to(source) for path in (source / folder).rglob("*") if _wanted(path)}
        result[kind] = sorted(names)
    return result


def _module(name: str) -> Path:
    """Where an installed module is: its file, or its folder when it is a package."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise KosError(f"services need the module {name}", hint="pip install cryptography")
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)


def _wanted(path: Path) -> bool:
    return path.is_file() and path.parent.name != "__pycache__"


def _copy(source: Path, names: list[Path], target: Path) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _make_readable(top: Path) -> None:
    top.chmod(0o755)
    for folder, folders, files in os.walk(top):
        for name in folders:
            (Path(folder) / name).chmod(0o755)
        for name in files:
            path = Path(folder) / name
            path.chmod(0o755 if path.name == LAUNCH_NAME else 0o644)
