"""An archive that sets KOS up where nothing can be fetched: this tree, and every Python package of its locks.

The packages are checked against the locks' hashes twice: when they are gathered here and when they are
installed there. It is for machines of this processor and this version of Python.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.version import VERSION
from kos.build import files

# What a set-up needs of the tree; tests and benchmarks stay where the network is.
PARTS = (
    "README.md",
    "CHANGELOG.md",
    "SPECIFICATION.md",
    "kos-tool",
    "pyproject.toml",
    "setup",
    "native",
    "src",
)
MORE = ("docs", "examples")
WHEELS = "setup/wheels"
BUILD = ("setuptools", "wheel")  # one package comes as source, and is built where it is installed


def bundle(
    root: Path,
    target: Path,
    extras: Sequence[str] = ("server",),
    build: Sequence[str] = BUILD,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Write the archive; says how many packages it holds.

    Args:
        root: the tree, with its locks in `setup`.
        target: the archive.
        extras: which locks beside the base.
        build: packages that build others, which no lock names.
        environ: of pip.

    Raises:
        KosError: a package cannot be had.
    """
    files.check_place(target)
    name = target.name.partition(".")[0]
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        for extra in ("", *(f"-{extra}" for extra in extras)):
            lock = root / "setup" / f"requirements{extra}.lock"
            _download(folder, ["--no-deps", "--require-hashes", "--requirement", str(lock)], environ)
        if build:
            _download(folder, ["--only-binary", ":all:", *build], environ)
        wheels = sorted(Path(folder).iterdir())
        with files.atomic_file(target) as whole, tarfile.open(fileobj=whole, mode="w") as out:
            for part in (*PARTS, *MORE):
                if (root / part).exists():
                    out.add(root / part, f"{name}/{part}", filter=_wanted)
            for wheel in wheels:
                out.add(wheel, f"{name}/{WHEELS}/{wheel.name}", filter=_wanted)
    return len(wheels)


def default_name() -> str:
    return f"kos-{VERSION}-{sys.implementation.cache_tag}.tar"


def _download(folder: str, options: list[str], environ: Mapping[str, str] | None) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--dest",
        folder,
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=environ, check=False)
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
            done.stderr[-400:]
        ]
        raise KosError(f"a package cannot be had: {words[-1]}", hint="is the package index reachable?")


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(member.name).name
    if name == "__pycache__" or name.endswith((".so", ".pyc")):
        return None  # made anew on the machine that it is for
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
