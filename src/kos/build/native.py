"""Build what is written in C: the extension module of `kos.app`, kos-pump, the SDK tree for C apps, C tests.

`python -m kos.build.native` builds the first two for this machine; with names of targets, their SDK trees.
What is up to date is not built again: a stamp holds the hash of all inputs. Nothing outside `build/native`
and `kos/app` is written, but for SDK trees of users who may not write here: theirs are in their cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from kos.build import files

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / "native"
OUTPUT = ROOT / "build" / "native"
EXTENSION = ROOT / "src" / "kos" / "app" / "_native.abi3.so"
_NOT_INPUTS = {"launch", "initramfs"}  # built on their own
_LOG_LINES = 40  # of a failed build's output


def sdk(target_name: str) -> Path:
    """The SDK tree of a target (`host`, `aarch64`, `aarch32`), built when it is not up to date.

    Always with the toolchain that apps are built with: a library made by the machine's own compiler may need
    a newer C library than an app is linked for. `python/_native.abi3.so` in it is the target's extension.

    Raises:
        BuildError: it does not compile.
    """
    from kos.build import toolchain
    from kos.build.target import target

    tools = toolchain.Toolchain(target(None if target_name == "host" else target_name))
    place = _sdk_place(target_name)
    options = [
        *tools.cmake_options(),
        "-DCMAKE_BUILD_TYPE=Release",
        "-DCMAKE_C_FLAGS_RELEASE=-O2",
        f"-DCMAKE_C_FLAGS={tools.prefix_maps(native=SOURCES, build=place / 'cmake')}",
        "-DKOS_BUILD_PYTHON=ON",
    ]
    _build(place, options, tools.environment(), toolchain.version(), install=place / "sdk")
    return place / "sdk"


def _sdk_place(target_name: str) -> Path:
    """Where an SDK tree is: in this tree, or in the user's cache where somebody else has set this one up."""
    place = OUTPUT / target_name
    if os.access(files.nearest(place), os.W_OK):
        return place
    mine = files.cache_directory() / f"native-{hashlib.sha256(bytes(ROOT)).hexdigest()[:16]}"
    return mine / target_name


def extension() -> Path:
    """The extension module of this machine's Python, beside the modules of `kos.app`."""
    place = OUTPUT / "extension"
    built = place / "sdk" / "python" / EXTENSION.name
    options = ["-DKOS_BUILD_PYTHON=ON", "-DKOS_BUILD_PUMP=ON"]
    fresh = _build(place, options, *_machine_compiler(), install=place / "sdk")
    if fresh or not EXTENSION.exists():
        # A process that runs now keeps the old file mapped, so it is replaced and never written over.
        scratch = EXTENSION.with_name(f".{EXTENSION.name}.{os.getpid()}")
        shutil.copyfile(built, scratch)
        scratch.replace(EXTENSION)
    return EXTENSION


def pump() -> Path:
    """kos-pump, through which the gateway's connections go."""
    extension()
    return OUTPUT / "extension" / "sdk" / "bin" / "kos-pump"


def tests() -> Path:
    """The directory with the C test, fuzz and benchmark programs of this machine."""
    place = OUTPUT / "tests"
    _build(place, ["-DKOS_BUILD_TESTS=ON"], *_machine_compiler())
    return place / "cmake" / "tests"


def _machine_compiler() -> tuple[dict[str, str], str]:
    """Environment and identity of the machine's own compiler, or of ours where it has none."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found:
        compiler = Path(found).resolve()
        status = compiler.stat()
        return os.environ | {"CC": found}, f"{compiler} {status.st_size} {status.st_mtime_ns}"
    from kos.build import toolchain
    from kos.build.target import host

    return toolchain.Toolchain(host()).environment(), toolchain.version()


def _digest(options: Iterable[str], compiler: str) -> str:
    """The hash of everything that a build depends on."""
    digest = hashlib.sha256(repr((compiler, *options)).encode())
    for place, directories, names in os.walk(SOURCES):
        top = Path(place) == SOURCES
        directories[:] = sorted(name for name in directories if not (top and name in _NOT_INPUTS))
        for name in sorted(names):
            path = Path(place, name)
            digest.update(f"\0{path.relative_to(SOURCES)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _build(
    place: Path, options: list[str], environment: dict[str, str], compiler: str, install: Path | None = None
) -> bool:
    """Configure, compile and install what is not up to date; → whether anything was done."""
    stamp, wanted = place / "stamp", _digest(options, compiler)
    if stamp.is_file() and stamp.read_text() == wanted:
        return False
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == wanted:  # someone else built it meanwhile
            return False
        stamp.unlink(missing_ok=True)
        cmake, directory = _tool("cmake"), place / "cmake"
        if install:
            shutil.rmtree(install, ignore_errors=True)
            options = [*options, f"-DCMAKE_INSTALL_PREFIX={install}"]
        fixed = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}", "-DKOS_BUILD_LAUNCH=OFF"]
        configure = [cmake, "-S", str(SOURCES), "-B", str(directory), *fixed, *options]
        # CMake that meets another compiler, as in another user's cache, forgets the options that it is given.
        configured, how = place / "configured", repr((configure, environment.get("CC"), compiler))
        if not configured.is_file() or configured.read_text() != how:
            configured.unlink(missing_ok=True)
            shutil.rmtree(directory, ignore_errors=True)
        _run(configure, environment)
        configured.write_text(how)
        _run([cmake, "--build", str(directory)], environment)
        if install:
            _run([cmake, "--install", str(directory)], environment)
        stamp.write_text(wanted)
    return True


def _tool(name: str) -> str:
    """A program of our own environment, or of the machine."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        from kos.build.errors import BuildError

        lines = done.stdout.decode(errors="replace").splitlines()
        raise BuildError(
            "the native parts do not build:\n" + "\n".join(lines[-_LOG_LINES:]),
            where=str(SOURCES),
            hint="the compiler's own message is above; removing build/native starts afresh",
        )


def main() -> int:
    from kos.abi.errors import KosError

    try:
        for path in [sdk(name) for name in sys.argv[1:]] or [extension()]:
            print(path)
    except KosError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
