"""Small projects, apps and wheels for the build tests."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path
from textwrap import dedent

C_LISTS = """
    cmake_minimum_required(VERSION 3.25)
    project(blink LANGUAGES C)
    find_package(Kos REQUIRED)
    add_executable(blink main.c)
    target_link_libraries(blink PRIVATE Kos::kos)
    install(TARGETS blink)
"""
C_MAIN = """
    #include <kos.h>

    int main(int argc, char *argv[])
    {
        kos_printf("%s %d %s %s\\n", argv[0], argc, __FILE__, __DATE__);
        return 0;
    }
"""
SYSTEM = """
    from kos.manifest import App, CImage, PythonImage, System


    class Small(System):
        def setup(self, ctx):
            ctx = ctx.put_msg_server("msg0")
            return ctx.put_app(App("station", PythonImage("apps/station")))
"""


def put(root: Path, **files: str) -> Path:
    """Write files, their names with `__` for `/` and the last `_` for the dot."""
    for name, text in files.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        path = root / (f"{stem}.{suffix}" if stem else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip())
    return root


def python_app(root: Path, *, dependencies: str = "[]", main: str = "def main():\n    pass\n") -> Path:
    """A Python app in `root`."""
    root.mkdir(parents=True, exist_ok=True)
    text = f'[project]\nname = "{root.name}"\nversion = "1"\ndependencies = {dependencies}\n'
    (root / "pyproject.toml").write_text(text)
    package = root / root.name
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text(main)
    return root


def c_app(root: Path, *, lists: str = C_LISTS, main: str = C_MAIN) -> Path:
    """A C app in `root`."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "CMakeLists.txt").write_text(dedent(lists).lstrip())
    (root / "main.c").write_text(dedent(main).lstrip())
    return root


def wheel(
    directory: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
    extra: dict[str, bytes] | None = None,
) -> Path:
    """A small wheel as any build tool would make it."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    contents = {
        f"{name}/__init__.py": f'VERSION = "{version}"\n'.encode(),
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
        **(extra or {}),
    }
    digests = {
        path: base64.urlsafe_b64encode(hashlib.sha256(data).digest()) for path, data in contents.items()
    }
    record = "".join(
        f"{path},sha256={digest.decode().rstrip('=')},{len(contents[path])}\n"
        for path, digest in digests.items()
    )
    contents[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, data in contents.items():
            archive.writestr(inner, data)
    return path
