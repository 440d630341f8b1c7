"""Our own small static programs for a device: the initramfs's init and kos-launch. Built by zig, kept by
their hash.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from kos.build.image.run import run
from kos.build.sdk.home import image_cache

SOURCES = Path(__file__).resolve().parents[4] / "native"
_TARGETS = {"aarch64": "aarch64-linux-musl", "aarch32": "arm-linux-musleabihf"}
_FLAGS = ("-std=gnu11", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror")


def program(source: str, arch: str) -> Path:
    """The static program of `native/<source>` for `arch`."""
    return compiled(SOURCES / source, arch)


def compiled(path: Path, arch: str) -> Path:
    """The static program of one C file for `arch`."""
    stamp = f"{_TARGETS[arch]} {_FLAGS}".encode() + path.read_bytes()
    built = image_cache() / "native" / f"{path.stem}-{arch}-{hashlib.sha256(stamp).hexdigest()[:24]}"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=built.parent) as folder:
            made = Path(folder, "program")
            run(sys.executable, "-m", "ziglang", "cc", "-target", _TARGETS[arch], *_FLAGS, "-o", made, path)
            made.replace(built)
    return built
