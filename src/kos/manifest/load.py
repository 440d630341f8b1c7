"""Open a user's project: `system.py` and `config.toml`. The one module here that touches files.

`system.py` is the user's own program and runs with the user's rights when it is loaded.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.abi.records import dataclass
from kos.manifest import limits
from kos.manifest.config import Config
from kos.manifest.errors import ManifestError
from kos.manifest.model import Manifest
from kos.manifest.system import System

SYSTEM_FILE = "system.py"
CONFIG_FILE = "config.toml"
_MODULE = "kos_user_system"


@dataclass(frozen=True)
class Project:
    """A system project.

    Attributes:
        root: its directory, absolute.
        system: what its `system.py` defines.
        config: its settings.
    """

    root: Path
    system: System
    config: Config

    def manifest(self, platform: str = "host") -> Manifest:
        """The manifest for a platform; errors of the user's code say their line."""
        with _user_errors(self.root):
            return self.system.manifest(platform, config=self.config, root=str(self.root))


def load_project(directory: Path, environment: Mapping[str, str] | None = None) -> Project:
    """The project in `directory`, or of the `system.py` that is named.

    Args:
        directory: the project's directory, or its system file.
        environment: where overrides of the settings are looked for; None means the process's own.

    Raises:
        ManifestError: no project, or one that cannot be loaded.
    """
    file = directory / SYSTEM_FILE if directory.is_dir() else directory
    if not file.is_file():
        raise ManifestError(
            f"no {SYSTEM_FILE} in {directory}",
            hint="name a system project, or make one with: kos-tool new.system NAME",
        )
    file = file.resolve()
    if b"\0" in read_bounded(file, limits.PROJECT_SYSTEM_BYTES_MAX):
        # Not left to Python: to 3.11.2 it is no SyntaxError.
        raise ManifestError("source code cannot contain null bytes", where=str(file), hint="is it Python?")
    config = load_config(file.parent / CONFIG_FILE, os.environ if environment is None else environment)
    with _user_errors(file.parent, file):
        module = _import(file)
    return Project(file.parent, _find_system(module, file)(), config)


def load_config(file: Path, environment: Mapping[str, str]) -> Config:
    """Settings from a file, which may be missing, and the environment."""
    text = ""
    if file.exists():
        try:
            text = read_bounded(file, limits.PROJECT_CONFIG_BYTES_MAX).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ManifestError(f"not UTF-8 at byte {error.start}", where=str(file)) from None
    return Config.parse(text, environment, where=str(file))


def _import(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_MODULE, file)
    if spec is None or spec.loader is None:
        raise ManifestError(
            "not a Python file", where=str(file), hint="name a project's folder, or its system.py"
        )
    module = importlib.util.module_from_spec(spec)
    # The user's modules beside system.py must import, without staying importable for the next project.
    sys.path.insert(0, str(file.parent))
    known = set(sys.modules)
    try:
        sys.modules[_MODULE] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
        for name in set(sys.modules) - known:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and Path(origin).is_relative_to(file.parent):
                del sys.modules[name]
    return module


def _find_system(module: ModuleType, file: Path) -> type[System]:
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, System) and value.__module__ == module.__name__
    ]
    # A system that is another's base is a layer.
    layers = {base if isinstance(base, type) else type(base) for base in (system.base for system in found)}
    layers |= {parent for system in found for parent in system.__mro__[1:]}
    tops = [system for system in found if system not in layers]
    if not tops:
        raise ManifestError("defines no System", where=str(file), hint="write: class MySystem(System): …")
    if len(tops) > 1:
        names = ", ".join(system.__name__ for system in tops)
        raise ManifestError(f"defines several systems: {names}", where=str(file), hint="keep one in a file")
    return tops[0]


@contextmanager
def _user_errors(root: Path, file: Path | None = None) -> Iterator[None]:
    """Say an exception of the user's own code as an error of theirs, at their line."""
    try:
        yield
    except KosError:
        raise
    except SyntaxError as error:
        # Python names no place where a file is not even text.
        where = f"{error.filename}:{error.lineno}" if error.filename else str(file or root)
        raise ManifestError(f"{error.msg}", where=where) from error
    except Exception as error:
        import traceback

        lines = [frame for frame in traceback.extract_tb(error.__traceback__)]
        theirs = [frame for frame in lines if Path(frame.filename).is_relative_to(root)]
        if not theirs:
            raise
        where = f"{theirs[-1].filename}:{theirs[-1].lineno}"
        hint = _import_hint(error.name) if isinstance(error, NameError) else None
        raise ManifestError(f"{type(error).__name__}: {error}", where=where, hint=hint) from error


def _import_hint(name: str | None) -> str | None:
    """How to import a name that everybody who writes a manifest uses."""
    public = import_module("kos.manifest").__all__
    return f"from kos.manifest import {name}" if name in public else None
