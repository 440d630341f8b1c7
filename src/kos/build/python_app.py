"""The image of a Python app: `site/` with its package and its locked dependencies, and nothing else.

An app's directory has a `pyproject.toml` (standard `[project]` table: `dependencies`, `requires-python`) and
its modules in one of the usual places: below `src/`, beside `pyproject.toml`, or the directory is itself the
package. No build backend runs.
"""

from __future__ import annotations

import ast
import shutil
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from kos.build import tree, wheels
from kos.build.cache import Cache
from kos.build.errors import BuildError
from kos.build.target import Target

PROJECT_FILE = "pyproject.toml"
PROJECT_BYTES_MAX = 1 << 20
DEPENDENCIES_MAX = 200
SOURCE_BYTES_MAX = 16 << 20  # of one module
# Beside the package in a flat layout: never part of the app.
_NOT_THE_APP = frozenset(
    {"tests", "test", "docs", "build", "dist", wheels.WHEELS_DIRECTORY, "setup.py", "conftest.py"}
)


@dataclass(frozen=True)
class PythonApp:
    """The sources of a Python app.

    Attributes:
        directory: with `pyproject.toml`.
        requires: its dependencies, as written.
    """

    directory: Path
    requires: list[str]

    @classmethod
    def load(cls, directory: Path, target: Target) -> PythonApp:
        """Read `pyproject.toml`.

        Raises:
            BuildError: it is missing or wrong, or the app does not run on the target's Python.
        """
        path = directory / PROJECT_FILE
        if not path.is_file():
            raise BuildError(
                f"a Python app needs a {PROJECT_FILE}",
                where=str(directory),
                hint="kos-tool new.app.python makes one",
            )
        if path.stat().st_size > PROJECT_BYTES_MAX:
            raise BuildError(f"more than {PROJECT_BYTES_MAX} bytes are too many", where=str(path))
        try:
            project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BuildError(f"not TOML: {error}", where=str(path)) from None
        requires = project.get("dependencies", []) if isinstance(project, dict) else None
        if not isinstance(requires, list) or not all(isinstance(r, str) for r in requires):
            raise BuildError("project.dependencies: expected a list of strings", where=str(path))
        if len(requires) > DEPENDENCIES_MAX:
            raise BuildError(f"more than {DEPENDENCIES_MAX} dependencies are too many", where=str(path))
        for requirement in requires:
            _check_requirement(requirement, path)
        _check_python(project.get("requires-python", ""), target, path)
        return cls(directory, requires)

    def inputs(self, locked: list[wheels.Wheel]) -> dict[str, str]:
        """Everything that the image depends on."""
        return {
            "sources": tree.digest(self._modules(), self._left_out()),
            "layout": self._prefix(),
            "wheels": " ".join(f"{wheel.file}:{wheel.sha256}" for wheel in locked),
        }

    def _modules(self) -> Path:
        source = self.directory / "src"
        return source if source.is_dir() and not (self.directory / "__init__.py").exists() else self.directory

    def _prefix(self) -> str:
        """Where the modules go below `site/`."""
        return self.directory.name if (self.directory / "__init__.py").exists() else ""

    def _left_out(self) -> frozenset[str]:
        own = {PROJECT_FILE, wheels.LOCK_FILE}
        return frozenset(own) if self._prefix() else frozenset(own | _NOT_THE_APP)

    def fill(self, place: Path, locked: list[wheels.Wheel], target: Target, cache: Cache) -> None:
        """Write the image's contents below `place`."""
        site = place / "site"
        for name, source in tree.walk(self._modules(), self._left_out()):
            destination = site / self._prefix() / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, destination)
        site.mkdir(parents=True, exist_ok=True)
        for wheel in wheels.fetch(self.directory, locked, target, cache):
            unpack_wheel(wheel, site)

    def check_entry(self, entry: str) -> None:
        """That `module:function` can be found, and that every module is Python, before anything runs."""
        module, function = entry.split(":")
        found = None
        wanted = module.replace(".", "/")
        for name, path in tree.walk(self._modules(), self._left_out()):
            if not name.endswith(".py"):
                continue
            parsed = _parse(path)
            if f"{self._prefix()}/{name}".lstrip("/") in (f"{wanted}.py", f"{wanted}/__init__.py"):
                found = path
                names = _defined(parsed)
                if function not in names:
                    raise BuildError(
                        f"defines no {function!r}, the app's entry",
                        where=str(path),
                        hint=f"write: def {function}(): …",
                    )
        if found is None:
            raise BuildError(
                f"has no module {module!r}, the app's entry {entry!r} names it",
                where=str(self.directory),
                hint="modules are found below src/, beside pyproject.toml, or the directory is the package;"
                " say another entry with PythonImage(path, entry=…)",
            )


def _check_requirement(text: str, path: Path) -> None:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise BuildError(f"dependency {text!r}: {str(error).splitlines()[0]}", where=str(path)) from None
    if requirement.url:
        raise BuildError(
            f"dependency {text!r} is fetched from an address and could be anything",
            where=str(path),
            hint=f"put its wheel into {wheels.WHEELS_DIRECTORY}/ beside pyproject.toml and name its version",
        )


def _check_python(wanted: object, target: Target, path: Path) -> None:
    try:
        fits = isinstance(wanted, str) and SpecifierSet(wanted).contains(f"{target.python}.99")
    except InvalidSpecifier:
        raise BuildError(f"requires-python: {wanted!r} is not a version range", where=str(path)) from None
    if not fits:
        raise BuildError(f"requires Python {wanted}, the target has {target.python}", where=str(path))


def _parse(path: Path) -> ast.Module:
    if path.stat().st_size > SOURCE_BYTES_MAX:
        raise BuildError(f"more than {SOURCE_BYTES_MAX} bytes are too many for a module", where=str(path))
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise BuildError(error.msg, where=f"{path}:{error.lineno or 1}") from None
    except (ValueError, RecursionError) as error:
        raise BuildError(f"not Python: {error}", where=str(path)) from None


def _defined(module: ast.Module) -> set[str]:
    """The names that a module gives to anything, as far as one can tell without running it."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
    return names


def unpack_wheel(wheel: Path, site: Path) -> None:
    """Put a wheel's modules into `site`; programs, headers and data for elsewhere are left out.

    Raises:
        BuildError: not a wheel, a path that leads out of it, or a file that another wheel has brought
        differently.
    """
    room = tree.UNPACKED_BYTES_MAX
    try:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                name = _place(info.filename)
                if info.is_dir() or name is None:
                    continue
                room -= info.file_size
                if room < 0:
                    raise BuildError(
                        f"more than {tree.UNPACKED_BYTES_MAX} bytes are too many", where=wheel.name
                    )
                tree.check_name(name)
                _put(site / name, archive, info, wheel.name)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise BuildError(f"not a wheel: {error}", where=str(wheel)) from None


def _place(name: str) -> str | None:
    """Where a wheel's file goes (PEP 427, "The .data directory"), or None."""
    first, _, rest = name.partition("/")
    if not first.endswith(".data"):
        return name
    scheme, _, inner = rest.partition("/")
    return inner or None if scheme in ("purelib", "platlib") else None


def _put(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, wheel: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = archive.read(info)
    if path.exists():
        if path.read_bytes() != data:
            raise BuildError(f"{info.filename} is in the app or another wheel too, and differs", where=wheel)
        return
    path.write_bytes(data)
