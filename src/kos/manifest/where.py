"""Which line of the user's manifest said it: the first stack frame outside `kos`."""

from __future__ import annotations

import sys
from pathlib import PurePath


def _is_ours(module: str) -> bool:
    # `dataclasses.replace` makes our objects for us.
    return module in ("kos", "dataclasses") or module.startswith("kos.")


def user_location() -> str | None:
    """`file:line` of the nearest caller outside `kos`; None where there is none.

    What a layer of ours does while a user's system is being made is said by that system's class statement:
    `System.context` leaves its place in the local variable `_said_at`.
    """
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        # `<string>` is a dataclass's generated constructor, which carries its caller's module name.
        if not _is_ours(module) and not frame.f_code.co_filename.startswith("<"):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if _is_ours(module) and (said_at := frame.f_locals.get("_said_at")):
            return said_at
        frame = frame.f_back
    return None


def relative(location: str | None, root: str | None) -> str:
    """A location as a manifest carries it: below the project's root, else only the file's name.

    A manifest must have the same bytes on every machine, so it never holds an absolute path.
    """
    if not location:
        return ""
    path, _, line = location.rpartition(":")
    file = PurePath(path)
    if root is not None and file.is_relative_to(root):
        return f"{file.relative_to(root).as_posix()}:{line}"
    return f"{file.name}:{line}"
