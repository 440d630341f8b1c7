"""The image of a C app: a CMake project built against the SDK, of which `bin/` and `share/` are kept.

The same sources give the same bytes wherever they lie. A project that has no `install` rule is taken too, as
the existing apps have none: its program is then looked for in the build directory.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from kos.build import native, toolchain, tree
from kos.build.cache import Cache
from kos.build.errors import BuildError
from kos.build.target import Target
from kos.build.toolchain import Toolchain

PROJECT_FILE = "CMakeLists.txt"
_KEPT = ("bin", "share")
_LOG_LINES = 40  # of a failed build's output


class CApp:
    """The sources of a C app and what they are built with."""

    def __init__(self, directory: Path, entry: str, target: Target, cache: Cache) -> None:
        """
        Args:
            directory: with `CMakeLists.txt`.
            entry: the app's program, `bin/NAME`.
            target: for which machine.
            cache: where the compiler keeps what it can use again.
        """
        if not (directory / PROJECT_FILE).is_file():
            raise BuildError(
                f"a C app needs a {PROJECT_FILE}", where=str(directory), hint="kos-tool new.app.c makes one"
            )
        self._directory = directory
        self._entry = entry
        self._target = target
        self._cache = cache
        self._sdk = native.sdk(target.name)

    def inputs(self) -> dict[str, str]:
        """Everything that the image depends on."""
        return {
            "sources": tree.digest(self._directory, ["build"]),
            "entry": self._entry,
            "triple": self._target.triple,
            "toolchain": toolchain.version(),
            "sdk": tree.digest(self._sdk),
        }

    def fill(self, place: Path) -> None:
        """Write the image's contents below `place`.

        Raises:
            BuildError: it does not configure, compile, link or install; says the compiler's own words.
        """
        with self._cache.scratch("c", str(self._directory), self._target.name) as scratch:
            stage = self._made(scratch)
            for name in _KEPT:
                if (stage / name).is_dir():
                    shutil.copytree(stage / name, place / name, symlinks=True)

    def symbols(self) -> Path:
        """The same program with its symbols, for a debugger: its code is at the same addresses.

        Raises:
            BuildError: as `fill` does.
        """
        with self._cache.scratch("c-symbols", str(self._directory), self._target.name) as scratch:
            return self._made(scratch, symbols=True) / self._entry

    def _made(self, scratch: Path, *, symbols: bool = False) -> Path:
        """Build it below `scratch`; → what is installed."""
        build, stage = scratch / "build", scratch / "stage"
        self._compile(build, stage, symbols)
        program = stage / self._entry
        if not program.is_file():
            self._take_uninstalled(build, program)
        self._check(program)
        return stage

    def _compile(self, build: Path, stage: Path, symbols: bool) -> None:
        tools = Toolchain(self._target)
        kind = "macro" if symbols else "file"  # a debugger finds the sources at their own places
        maps = tools.prefix_maps(kind, app=self._directory, build=build, sdk=self._sdk)
        maps += " -g" if symbols else ""
        maps += " -fno-omit-frame-pointer"  # for the backtrace of a crash
        environment = tools.environment() | {
            "KOS_CC": str(tools.cc),
            "KOS_RUNTIME_PATH": str(self._sdk),
            "KOS_BUILTINS_PATH": str(self._sdk),
        }
        cmake = str(Path(sys.executable).parent / "cmake")
        configure = [
            cmake, "-S", str(self._directory), "-B", str(build), "-G", "Ninja", *tools.cmake_options(),
            f"-DCMAKE_MAKE_PROGRAM={Path(sys.executable).parent / 'ninja'}",
            f"-DCMAKE_PREFIX_PATH={self._sdk}",
            f"-DCMAKE_MODULE_PATH={self._sdk / 'share'}",
            "-DCMAKE_BUILD_TYPE=Release",
            "-DCMAKE_C_FLAGS_RELEASE=-O2",
            f"-DCMAKE_C_FLAGS={maps}",
            f"-DCMAKE_CXX_FLAGS={maps}",
            f"-DCMAKE_EXE_LINKER_FLAGS={'' if symbols else '-s'}",
            f"-DCMAKE_INSTALL_PREFIX={stage}",
        ]  # fmt: skip
        shutil.rmtree(stage, ignore_errors=True)
        try:
            self._run(configure, environment)
        except BuildError:
            # What an older toolchain or SDK left there may be all that is wrong.
            shutil.rmtree(build, ignore_errors=True)
            self._run(configure, environment)
        self._run([cmake, "--build", str(build)], environment)
        self._run([cmake, "--install", str(build)], environment)

    def _run(self, command: list[str], environment: dict[str, str]) -> None:
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._directory,
            check=False,
        )
        if done.returncode:
            lines = done.stdout.decode(errors="replace").splitlines()
            words = [line for line in lines if line and not line.startswith(("--", "ninja:", "["))]
            raise BuildError(
                "it does not build:\n" + "\n".join(words[-_LOG_LINES:]),
                where=str(self._directory),
                hint="the compiler's own message is above",
            )

    def _take_uninstalled(self, build: Path, program: Path) -> None:
        found = [
            path
            for path in build.rglob(program.name)
            if path.is_file() and "CMakeFiles" not in path.parts and path.stat().st_mode & stat.S_IXUSR
        ]
        if len(found) == 1:
            program.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found[0], program)

    def _check(self, program: Path) -> None:
        if not program.is_file() or not os.access(program, os.X_OK):
            raise BuildError(
                f"it makes no program {self._entry!r}",
                where=str(self._directory / PROJECT_FILE),
                hint=f"write: add_executable({program.name} …) and install(TARGETS {program.name}), or name"
                " the program with CImage(path, entry=…)",
            )
