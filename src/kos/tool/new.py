"""Make new projects and apps from the templates. It never overwrites a file and leaves nothing half done."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

from kos.abi.errors import KosError
from kos.build import files

TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def check_name(name: str) -> None:
    """That a system or an app can have this name."""
    if not _NAME.fullmatch(name):
        raise KosError(
            f"{name!r} cannot be a name", hint="lower-case letters, digits and _, a letter first, at most 32"
        )


def check_module(name: str) -> None:
    """That a Python app can be imported by this name."""
    check_name(name)
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name == "kos":
        raise KosError(f"{name!r} means something to Python already", hint="choose another name for the app")


def make(template: str, name: str, destination: Path) -> None:
    """Fill a template into a new directory.

    Raises:
        KosError: something is there already.
    """
    if destination.exists():
        raise KosError("is there already", where=str(destination), hint="choose another name or directory")
    words = {"@name@": name, "@class@": "".join(part.capitalize() for part in name.split("_"))}
    with files.new_directory(destination) as scratch:
        scratch.chmod(0o755)
        for source in sorted((TEMPLATES / template).rglob("*.in")):
            inner = str(source.relative_to(TEMPLATES / template)).removesuffix(".in")
            inner = inner.replace("gitignore", ".gitignore")
            text = source.read_text()
            for word, value in words.items():
                inner, text = inner.replace(word, value), text.replace(word, value)
            (scratch / inner).parent.mkdir(parents=True, exist_ok=True)
            (scratch / inner).write_text(text)


def app_directory(project: Path, name: str) -> Path:
    """Where a new app of a project goes."""
    if not (project / "system.py").is_file():
        raise KosError(
            f"no system.py in {project}",
            hint="start in a project, name one with --project, or kos-tool new.system",
        )
    return project / "apps" / name
