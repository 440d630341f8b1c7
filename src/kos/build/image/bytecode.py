"""Byte-compile a target's Python files with the target's own version of Python, running here.

The SDK holds that Python for this machine (`python-host`); it runs through its own dynamic loader, so nothing
is installed. Files carry a hash that is never checked, so importing them needs no look at the source.
"""

from __future__ import annotations

from pathlib import Path

from kos.abi.errors import KosError
from kos.build.image.run import EPOCH
from kos.build.sdk.sets import PYTHON

_COMPILE = """
import compileall, sys
from py_compile import PycInvalidationMode
root, places = sys.argv[1], sys.argv[2:]
ok = True
for place in places:
    ok &= compileall.compile_dir(
        root + place, maxlevels=40, quiet=1, force=True, optimize=0, workers=1,
        stripdir=root, prependdir="/", invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
sys.exit(not ok)
"""


def interpreter(sdk_python: Path) -> list[str]:
    """The command that runs the SDK's Python on this machine."""
    loaders = sorted(sdk_python.glob("usr/lib*/ld-linux*.so.*")) + sorted(
        sdk_python.glob("usr/lib/*/ld-linux*.so.*")
    )
    if not loaders:
        raise KosError(
            "the SDK's Python has no dynamic loader", where=str(sdk_python), hint="run: kos-tool install"
        )
    libraries = sorted(str(path) for path in (sdk_python / "usr/lib").glob("*-linux-gnu*"))
    return [
        str(loaders[0]),
        "--library-path",
        ":".join(libraries),
        str(sdk_python / f"usr/bin/python{PYTHON}"),
    ]


def compile_tree(sdk_python: Path, root: Path, places: list[str]) -> None:
    """Compile every file under `places` (paths below `root`) into `__pycache__` folders."""
    import subprocess

    command = [*interpreter(sdk_python), "-I", "-S", "-B", "-c", _COMPILE, f"{root}/", *places]
    environment = {
        "PYTHONHOME": str(sdk_python / "usr"),
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(EPOCH),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise KosError(f"byte-compiling failed: {(done.stdout + done.stderr).strip()[-400:]}")
