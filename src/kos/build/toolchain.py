"""The one C toolchain: zig's clang for every target, wrapped so that equal sources give equal bytes.

CMake, make and plain scripts all want a compiler that is one program, so each target gets a directory of
small wrapper programs. Nothing of the machine gets into what they make: paths are mapped away, there is no
build id, time stands still.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from kos.build import files
from kos.build.errors import BuildError
from kos.build.target import Target

SOURCE_DATE_EPOCH = 1_577_836_800  # 2020-01-01, the date of everything that is built

_C_FLAGS = ["-fno-ident", "-fno-sanitize=undefined", "-Wno-unused-command-line-argument", "-Wno-date-time"]
_WRAPPERS = {
    "cc": ["cc", "-target", "{triple}", *_C_FLAGS, "-Wl,--build-id=none"],
    "c++": ["c++", "-target", "{triple}", *_C_FLAGS, "-Wl,--build-id=none"],
    "ar": ["ar"],
    "ranlib": ["ranlib"],
}


def version() -> str:
    """What the outputs of this toolchain depend on besides the sources."""
    tools = [f"{name}-{metadata.version(name)}" for name in ("ziglang", "cmake", "ninja")]
    return " ".join([*tools, hashlib.sha256(repr(_WRAPPERS).encode()).hexdigest()[:16]])


def zig_program() -> Path:
    """The compiler itself, from its wheel."""
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise BuildError(
            "the C toolchain is not installed", hint="start kos-tool from its own script, which installs it"
        )
    return Path(spec.origin).parent / "zig"


class Toolchain:
    """Compiler and friends for one target.

    Attributes:
        target: what it builds for.
        bin: directory of the wrappers `cc`, `c++`, `ar`, `ranlib`.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        # Always the user's own cache: what zig keeps there is found by its contents, and dear to make again.
        cache = self._cache = files.cache_directory()
        zig = zig_program()
        key = hashlib.sha256(f"{zig} {target.triple} {version()}".encode()).hexdigest()[:16]
        self.bin = cache / "toolchain" / f"{target.name}-{key}"
        for name, words in _WRAPPERS.items():
            path = self.bin / name
            if not path.exists():
                filled = [word.format(triple=target.triple) for word in words]
                line = " ".join(map(quote, [str(zig), *filled]))
                files.write_atomic(path, f'#!/bin/sh\nexec {line} "$@"\n'.encode(), mode=0o755)

    @property
    def cc(self) -> Path:
        """The C compiler."""
        return self.bin / "cc"

    @property
    def ar(self) -> Path:
        """The archiver."""
        return self.bin / "ar"

    def environment(self) -> dict[str, str]:
        """The whole environment for compiling: nothing of the user's own gets in."""
        return {
            "PATH": os.pathsep.join([str(self.bin), str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
            "HOME": str(self._cache),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
            "ZERO_AR_DATE": "1",
            "ZIG_GLOBAL_CACHE_DIR": str(self._cache / "zig"),
            "ZIG_LOCAL_CACHE_DIR": str(self._cache / "zig"),
            "CC": str(self.bin / "cc"),
            "CXX": str(self.bin / "c++"),
        }

    def cmake_options(self) -> list[str]:
        """Options of `cmake` that select this toolchain and nothing of the machine's own."""
        options = {
            "CMAKE_C_COMPILER": str(self.bin / "cc"),
            "CMAKE_CXX_COMPILER": str(self.bin / "c++"),
            "CMAKE_AR": str(self.bin / "ar"),
            "CMAKE_RANLIB": str(self.bin / "ranlib"),
            "CMAKE_SYSTEM_NAME": "Linux",
            "CMAKE_SYSTEM_PROCESSOR": self.target.cmake_processor,
            # Only what the project itself or the SDK brings may be found: a library of this machine would
            # make the result depend on it.
            "CMAKE_FIND_USE_CMAKE_SYSTEM_PATH": "OFF",
            "CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH": "OFF",
            "CMAKE_FIND_PACKAGE_NO_PACKAGE_REGISTRY": "ON",
        }
        return [f"-D{name}={value}" for name, value in options.items()]

    @staticmethod
    def prefix_maps(kind: str = "file", **directories: Path) -> str:
        """Compiler flags that write each directory as its name, in debug information and in `__FILE__`.

        With `kind="macro"` only in `__FILE__`, which is part of the program, and debug information keeps the
        sources' own places.
        """
        return " ".join(quote(f"-f{kind}-prefix-map={path}=/{name}") for name, path in directories.items())
